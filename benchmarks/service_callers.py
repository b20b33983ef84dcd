"""What callers of a service do, for Locust; `benchmarks.service_load` runs it.

Each asks again as soon as it is answered. After a refusal (429, 503), which is counted apart from
failures, it waits as ``Retry-After`` says.
"""

import os
import random
import time

from locust import FastHttpUser, task

LOOKS = os.environ.get("LOOKS", "smiling,red hair,blue hair,red lipstick,old").split(",")
SIZE = os.environ.get("SIZE", "full")
MIX = os.environ.get("MIX") == "yes"


class Caller(FastHttpUser):
    """Edits random faces by one look; with MIX=yes a tenth of them by a prompt."""

    @task(9)
    def look(self) -> None:
        """A look at a random strength."""
        moves = [{"look": random.choice(LOOKS), "strength": round(random.uniform(0, 1.5), 2)}]
        wanted = {"seed": random.randrange(1 << 32), "size": SIZE, "moves": moves}
        self._post(f"look, {SIZE}", wanted)

    @task(1)
    def prompt(self) -> None:
        """A prompt, to whose end the caller does not wait."""
        if MIX:
            self._post("prompt", {"seed": random.randrange(1 << 32), "prompt": "red lipstick"})

    def _post(self, name: str, wanted: dict[str, object]) -> None:
        with self.client.post(
            "/v1/edits",
            json=wanted,
            headers={"Accept": "image/jpeg"},
            name=name,
            catch_response=True,
        ) as answer:
            refused = answer.status_code in (429, 503)
            if refused:
                answer.request_meta["name"] = str(answer.status_code)
                answer.success()
        if refused:
            time.sleep(float(answer.headers.get("Retry-After", 1)))
