"""Programs that rate in a real browser, as experiments/rating has them: from the links to the answers, blind and resumable."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image

from imagen.data.shapes import draw
from imagen.data.shapes.prompts import prompts
from imagen.files import write_text
from imagen.rating.server.app import app
from imagen.rating.server.exporting import answers_of
from imagen.rating.server.store import Store
from imagen.rating.study.making import drawn_up, make
from imagen.rating.study.reading import read_design

from .test_killed import free_port

RATING = Path(__file__).parents[2] / "experiments/rating"
pytestmark = pytest.mark.browser


@pytest.mark.skipif(not RATING.is_dir(), reason="the experiments are of the checkout alone")
def test_raters_find_what_is_wrong(browser: object, tmp_path: Path) -> None:
    """One system draws what the prompts say, the other nothing: the first is preferred wherever nobody's thoughts are elsewhere."""
    suite = prompts("test", 0, 6, 1.0)
    for name in ("real", "demo"):
        (tmp_path / name).mkdir()
        for n, (caption, scene, _) in enumerate(suite):
            pixels = draw(scene, 64) if name == "real" else np.full((64, 64, 3), 128, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{n}.png")
            (tmp_path / name / f"{n}.txt").write_text(caption)
    text = (RATING / "study.yaml").read_text()
    for old, new in (
        ("../../var/evaluation", "demo"),
        ("../../var/real", "real"),
        ("break_every: 50", "break_every: 3"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "study.yaml").write_text(text)
    make(tmp_path / "study", *drawn_up(read_design(tmp_path / "study.yaml"), "ab" * 16))
    store, port = Store(tmp_path / "study"), free_port()
    server = uvicorn.Server(uvicorn.Config(app(store, "admin"), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        invited = store.invite(2, 1.0)
        links = "".join(f"{rater},http://127.0.0.1:{port}/i/{token}\n" for rater, token in invited)
        write_text(tmp_path / "links.csv", "rater,link\n" + links)
        words = [sys.executable, RATING / "simulated.py", tmp_path / "links.csv", "--lapse", "0"]
        while not server.started:
            time.sleep(0.01)
        ran = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert ran.returncode == 0, ran.stderr
        answers = answers_of(store)
        scored = [a for a in answers if a.control is None]
        for a in scored:
            if a.kind == "choice":
                assert a.shown[("left", "right").index(str(a.value))] == "real"
            elif a.question == "parts":
                assert a.value == (10 if a.shown == ("real",) else 0), a
        assert {a.question for a in scored} == {"alignment", "quality", "parts", "difficulty"}
        assert {a.rater for a in scored} == {"r0001", "r0002"}
        again = subprocess.run(words, capture_output=True, text=True, timeout=300)
        assert "r0001: 0 items" in again.stdout
        assert len(answers_of(store)) == len(answers)
    finally:
        server.should_exit = True
        thread.join()
        store.close()
