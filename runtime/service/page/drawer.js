// Draws what was asked for last, with one request under way at most.

const KEPT = 24;

export class Drawer {
  #draw;
  #show;
  #failed;
  #next = null;
  #under = null;
  #count = 0;
  #shown = 0;
  #kept = new Map();

  /**
   * draw(request, signal) gives a Blob; show(request, url) and failed(request, error) are told of
   * each that is still of interest. A request has a `key`, by which its picture is kept, and a
   * `size`.
   */
  constructor(draw, show, failed) {
    this.#draw = draw;
    this.#show = show;
    this.#failed = failed;
  }

  ask(request) {
    request.number = ++this.#count;
    const url = this.#kept.get(request.key);
    if (url) {
      this.stop();
      this.#tell(request, url);
      return;
    }
    this.#next = request;
    // A full-size picture that is not wanted any more would keep the next draft waiting.
    if (this.#under?.size === "full") this.#under.controller.abort();
    if (!this.#under) this.#run();
  }

  stop() {
    this.#next = null;
    this.#shown = this.#count;
    this.#under?.controller.abort();
  }

  async #run() {
    while (this.#next) {
      const request = this.#next;
      this.#next = null;
      const controller = new AbortController();
      this.#under = { size: request.size, controller };
      try {
        const url = URL.createObjectURL(await this.#draw(request, controller.signal));
        this.#keep(request.key, url);
        this.#tell(request, url);
      } catch (error) {
        if (error.name !== "AbortError" && !this.#next) this.#failed(request, error);
      }
      this.#under = null;
    }
  }

  #tell(request, url) {
    if (request.number < this.#shown) return;
    this.#shown = request.number;
    this.#show(request, url);
  }

  #keep(key, url) {
    this.#kept.set(key, url);
    if (this.#kept.size <= KEPT) return;
    const [oldest] = this.#kept;
    URL.revokeObjectURL(oldest[1]);
    this.#kept.delete(oldest[0]);
  }
}
