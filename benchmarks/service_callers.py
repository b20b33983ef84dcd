"""What callers of a service do, for Locust; `benchmarks.service_load` runs it.

Each asks again as soon as it is answered. After a refusal (429, 503), which is counted apart from
failures, it waits as ``Retry-After`` says.
"""

import json
import os
import random
import time
from pathlib import Path

from locust import FastHttpUser, task

LOOKS = os.environ.get("LOOKS", "smiling,red hair,blue hair,red lipstick,old").split(",")
SIZE = os.environ.get("SIZE", "full")
MIX = os.environ.get("MIX") == "yes"
WAIT = os.environ.get("WAIT", "30")
PHOTO = Path(__file__).parents[1] / "tests" / "golden" / "photos" / "official.jpg"
EDGE = "edge-of-the-parts"


class Caller(FastHttpUser):
    """Edits random faces by one look; with MIX=yes a tenth of them by a prompt, and a tenth are in
    a photograph that is sent along."""

    @task(8)
    def look(self) -> None:
        """A look at a random strength."""
        moves = [{"look": random.choice(LOOKS), "strength": round(random.uniform(0, 1.5), 2)}]
        wanted = {"seed": random.randrange(1 << 32), "size": SIZE, "moves": moves}
        self._post(f"look, {SIZE}", json=wanted)

    @task(1)
    def prompt(self) -> None:
        """A prompt, to whose end the caller does not wait."""
        if MIX:
            wanted = {"seed": random.randrange(1 << 32), "prompt": "red lipstick"}
            self._post("prompt", json=wanted, prefer="respond-async")

    @task(1)
    def upload(self) -> None:
        """A look on a photograph, in one call."""
        if MIX:
            said = json.dumps({"moves": [{"look": random.choice(LOOKS)}]})
            head = f"--{EDGE}\r\nContent-Disposition: form-data; name="
            parts = (
                f'{head}"edit"\r\n\r\n{said}\r\n{head}"photo"\r\nContent-Type: image/jpeg\r\n\r\n'
            )
            body = parts.encode() + PHOTO.read_bytes() + f"\r\n--{EDGE}--\r\n".encode()
            media = f"multipart/form-data; boundary={EDGE}"
            self._post("upload", data=body, media=media)

    def _post(
        self,
        name: str,
        json: object = None,
        data: bytes | None = None,
        media: str = "application/json",
        prefer: str = f"wait={WAIT}",
    ) -> None:
        headers = {"Accept": "image/jpeg", "Prefer": prefer, "Content-Type": media}
        with self.client.post(
            "/v1/edits", json=json, data=data, headers=headers, name=name, catch_response=True
        ) as answer:
            refused = answer.status_code in (429, 503)
            if refused:
                answer.request_meta["name"] = str(answer.status_code)
                answer.success()
        if refused:
            time.sleep(float(answer.headers.get("Retry-After", 1)))
