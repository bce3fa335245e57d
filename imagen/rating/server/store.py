"""What is known of raters and what they answered: invitations, sessions, answers that count once, undoing, erasing.

A rater is at one entry of the session, `current`; an answer to another entry is refused, so that two tabs cannot mix, and the
same answer again, known by its key, is acknowledged and counts once. Nothing is overwritten: what is undone keeps its row.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, delete, exists, insert, select, update

from imagen.rating.server.tables import ANSWERS, RATERS, forgotten, opened
from imagen.rating.server.writer import Writer
from imagen.rating.study.plan import Entry, Plans, entry_of
from imagen.rating.study.study import opaque, read_study

Outcome = Literal["kept", "again", "stale"]
DAY = 86_400.0


@dataclass(frozen=True)
class Rater:
    """A row, without the token's hash. `entries` is empty until there is consent."""

    number: int
    entries: tuple[Entry, ...]
    current: int
    shown_at: float | None
    rested: int
    consented: bool

    @property
    def done(self) -> bool:
        """Whether nothing is left to answer."""
        return self.consented and self.current >= len(self.entries)


class Store:
    """The database of the study in `folder`. `clock`: unix seconds. `token`: makes a new one."""

    def __init__(
        self,
        folder: Path,
        url: str | None = None,
        clock: Callable[[], float] = time.time,
        token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self.folder, self.study = folder, read_study(folder)
        self._write, self._read = opened(folder, url, opaque(self.study.key, "study"))
        self._plans, self._planning = Plans(self.study), threading.Lock()
        self._clock, self._token = clock, token
        self.writer = Writer(self._write)

    def close(self) -> None:
        """When all that was asked is written."""
        self.writer.close()
        self._write.dispose()
        self._read.dispose()

    # invitations

    def invite(self, many: int, days: float) -> list[tuple[str, str]]:
        """(rater, token) of each; the tokens are told here and never again."""
        tokens = [self._token() for _ in range(many)]
        now = self._clock()

        def change(connection: Connection) -> list[str]:
            return [
                name_of(
                    connection.execute(
                        insert(RATERS).values(
                            token=hashed(token), invited_at=now, expires_at=now + days * DAY
                        )
                    ).inserted_primary_key[0]  # pyright: ignore[reportOptionalSubscript]
                )
                for token in tokens
            ]

        return list(zip(self.writer(change), tokens))

    def revoke(self, rater: str) -> None:
        """The link works no longer. ValueError for a rater who is not there."""
        self.writer(lambda c: self._one(c, rater, update(RATERS).values(revoked_at=self._clock())))

    def erase(self, rater: str) -> int:
        """All that is kept of a rater but that the number was given out -> how many answers there were."""
        number = number_of(rater)

        def change(connection: Connection) -> int:
            gone = connection.execute(delete(ANSWERS).where(ANSWERS.c.rater == number)).rowcount
            nothing = dict.fromkeys(("token", "plan", "session", "shown_at", "about", "consented_at"))
            values = {**nothing, "current": 0, "rested": 0, "revoked_at": self._clock()}
            self._one(connection, rater, update(RATERS).values(**values))
            return gone

        count = self.writer(change)
        if not forgotten(self._write):
            raise ValueError(
                f"rater={rater}: is erased, but a reader keeps the log from being emptied, which has the bytes: erase again"
            )
        return count

    def _one(self, connection: Connection, rater: str, change: Any) -> None:
        if not connection.execute(change.where(RATERS.c.number == number_of(rater))).rowcount:
            raise ValueError(f"rater={rater}: no such rater; export says who is there")

    def rater(self, token: str) -> Rater | None:
        """Whose token it is; None when it is nobody's, expired or revoked."""
        wanted = hashed(token)
        with self._read.connect() as connection:
            row = connection.execute(select(RATERS).where(RATERS.c.token == wanted)).mappings().first()
        # found by its hash, of which the time of a search tells nothing; compared again in constant time
        if row is None or not hmac.compare_digest(row["token"], wanted):
            return None
        return (
            None
            if row["revoked_at"] is not None or row["expires_at"] <= self._clock()
            else _rater(_plain(row))
        )

    # sessions

    def consent(self, number: int, about: Mapping[str, str]) -> Future:
        """Begin the session of a rater, the first one of the plan that nobody has; of one who has begun, or may not, nothing
        changes."""
        now = self._clock()

        def change(connection: Connection) -> None:
            row = connection.execute(_locked(number)).mappings().one()
            if row["consented_at"] is not None or row["revoked_at"] is not None:
                return
            # who cannot come back and answered nothing holds no session: it is dealt again, so that all is shown equally often
            counts = (ANSWERS.c.rater == RATERS.c.number) & ANSWERS.c.undone_at.is_(None)
            away = RATERS.c.revoked_at.is_not(None) | (RATERS.c.expires_at <= now)
            unused = RATERS.c.plan.is_not(None) & away & ~exists().where(counts)
            connection.execute(update(RATERS).where(unused).values(plan=None))
            held = set(connection.execute(select(RATERS.c.plan).where(RATERS.c.plan.is_not(None))).scalars())
            plan = next(number for number in count() if number not in held)
            with self._planning:
                session = [entry.plain() for entry in self._plans.session(plan)]
            values = {"plan": plan, "session": session, "about": dict(about), "consented_at": now}
            connection.execute(update(RATERS).where(RATERS.c.number == number).values(**values))

        return self.writer.submit(change)

    def shown(self, number: int, entry: int) -> Future:
        """That an entry was handed out; attention is measured from the first time."""
        now = self._clock()
        where = (RATERS.c.number == number) & (RATERS.c.current == entry) & RATERS.c.shown_at.is_(None)
        return self.writer.submit(
            lambda c: c.execute(update(RATERS).where(where).values(shown_at=now)) and None
        )

    def rest(self, number: int, entry: int) -> Future:
        """That the break before an entry is over."""
        where = (RATERS.c.number == number) & (RATERS.c.current == entry)
        return self.writer.submit(
            lambda c: c.execute(update(RATERS).where(where).values(rested=entry)) and None
        )

    def answer(
        self, number: int, entry: int, key: str, values: Mapping[str, Any], seconds: float | None
    ) -> Future:
        """-> a future of an `Outcome`. `key`: that of the page; `seconds`: of attention as the page measured it, of which
        no more is believed than passed since the entry was shown; None: all of that."""
        now = self._clock()

        def change(connection: Connection) -> Outcome:
            row = connection.execute(_locked(number)).mappings().one()
            same = (ANSWERS.c.rater == number) & (ANSWERS.c.key == key)
            known = connection.execute(select(ANSWERS.c.undone_at).where(same)).first()
            if known is not None:  # one that was undone does not come back by being sent again
                return "again" if known[0] is None else "stale"
            if entry != row["current"] or row["session"] is None or entry >= len(row["session"]):
                return "stale"
            passed = max(0.0, now - (now if row["shown_at"] is None else row["shown_at"]))
            took = passed if seconds is None else min(max(0.0, seconds), passed)
            row_ = {
                "rater": number,
                "entry": entry,
                "key": key,
                "values": dict(values),
                "seconds": took,
                "at": now,
            }
            connection.execute(insert(ANSWERS).values(**row_))
            following = {"current": entry + 1, "shown_at": None}
            connection.execute(update(RATERS).where(RATERS.c.number == number).values(**following))
            return "kept"

        return self.writer.submit(change)

    def undo(self, number: int, entry: int) -> Future:
        """Take back the last answer, that before `entry` -> a future of whether there was one; nothing when the rater is not
        at that entry."""
        now = self._clock()

        def change(connection: Connection) -> bool:
            row = connection.execute(_locked(number)).mappings().one()
            if entry != row["current"] or entry == 0:
                return False
            last = (
                (ANSWERS.c.rater == number) & (ANSWERS.c.entry == entry - 1) & ANSWERS.c.undone_at.is_(None)
            )
            connection.execute(update(ANSWERS).where(last).values(undone_at=now))
            back = {"current": entry - 1, "shown_at": None, "rested": entry - 1}
            connection.execute(update(RATERS).where(RATERS.c.number == number).values(**back))
            return True

        return self.writer.submit(change)

    # all of it

    def raters(self) -> list[dict[str, Any]]:
        """Every row, without the tokens' hashes."""
        columns = [column for column in RATERS.c if column.name != "token"]
        with self._read.connect() as connection:
            rows = connection.execute(select(*columns).order_by(RATERS.c.number)).mappings()
            return [_plain(row) for row in rows]

    def answers(self, undone: bool = False) -> list[dict[str, Any]]:
        """Every row of those that count, or of all."""
        wanted = select(ANSWERS).order_by(ANSWERS.c.rater, ANSWERS.c.entry, ANSWERS.c.id)
        wanted = wanted if undone else wanted.where(ANSWERS.c.undone_at.is_(None))
        with self._read.connect() as connection:
            return [_plain(row) for row in connection.execute(wanted).mappings()]


def hashed(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def name_of(number: int) -> str:
    """What a rater is called."""
    return f"r{number:04d}"


def number_of(rater: str) -> int:
    """ValueError for what is no rater's name."""
    digits = rater.removeprefix("r")
    if not (rater.startswith("r") and digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise ValueError(f"rater={rater}: give one such as r0001")
    return int(digits)


def _locked(number: int) -> Any:
    return select(RATERS).where(RATERS.c.number == number).with_for_update()


def _plain(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _rater(row: Mapping[str, Any]) -> Rater:
    return Rater(
        number=row["number"],
        entries=tuple(entry_of(entry) for entry in row["session"] or ()),
        current=row["current"],
        shown_at=row["shown_at"],
        rested=row["rested"],
        consented=row["consented_at"] is not None,
    )
