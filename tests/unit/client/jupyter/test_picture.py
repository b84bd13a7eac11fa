"""A picture is drawn by a thread: rate-limited, the latest wins, the last one always comes."""

from __future__ import annotations

import base64
import threading

from matplotlib.figure import Figure

from daq.client.figures.picture import Picture


class Counted:
    """A chart that notes what it knew when it was drawn."""

    def __init__(self) -> None:
        self.points = 0
        self.seen: list[int] = []

    def take(self) -> None:
        self.points += 1

    def draw(self, figure: Figure) -> bool:
        self.seen.append(self.points)
        return self.points > 0


class Page:
    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []
        self.shown = threading.Event()

    def show(self, bundle: dict[str, str]) -> None:
        self.bundles.append(bundle)
        self.shown.set()


def test_many_changes_make_few_drawings_and_the_last_has_them_all() -> None:
    chart, page = Counted(), Page()
    with Picture(chart, page, max_fps=0.01) as picture:
        picture.feed(chart.take)
        assert page.shown.wait(30)
        for _ in range(999):
            picture.feed(chart.take)
    assert picture.points == 1000
    assert picture.drawn == len(page.bundles) == 2
    assert chart.seen[-1] == 1000


def test_what_is_shown_is_an_image() -> None:
    chart, page = Counted(), Page()
    with Picture(chart, page) as picture:
        picture.feed(chart.take)
        assert picture.wait_points(1)
    assert base64.b64decode(page.bundles[-1]["image/png"]).startswith(b"\x89PNG")


def test_without_data_nothing_is_shown() -> None:
    chart, page = Counted(), Page()
    with Picture(chart, page) as picture:
        assert not picture.wait_points(1, timeout=0.0)
    assert page.bundles == []
    picture.close()


def test_waiting_ends_with_the_picture() -> None:
    picture = Picture(Counted(), Page())
    waited: list[bool] = []
    waiter = threading.Thread(target=lambda: waited.append(picture.wait_points(5, timeout=60)))
    waiter.start()
    picture.close()
    waiter.join(30)
    assert waited == [False]
