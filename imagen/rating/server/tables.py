"""The tables of a study's database, and how SQLite is opened so that what was acknowledged is there after a kill -9."""

from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

METADATA = MetaData()
RATERS = Table(
    "raters",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("token", String(64), unique=True),  # sha256; null when the rater was erased
    Column("plan", Integer, unique=True),  # which session; null until there is consent
    Column("session", JSON),  # its entries, pinned
    Column("current", Integer, nullable=False, default=0),  # the next entry
    Column("shown_at", Float),  # when the current entry was first shown
    Column("rested", Integer, nullable=False, default=0),  # the entry before which there was a break last
    Column("about", JSON),  # what the consent page asked
    Column("invited_at", Float, nullable=False),
    Column("consented_at", Float),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
)
STUDY = Table(
    "study",
    METADATA,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("id", String(32), nullable=False),  # of which study the answers are
)
ANSWERS = Table(
    "answers",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("rater", Integer, ForeignKey("raters.number"), nullable=False),
    Column("entry", Integer, nullable=False),
    Column(
        "key", String(64), nullable=False
    ),  # of one page of the rater's: the same request again is known by it
    Column("values", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("undone_at", Float),
    Index("once", "rater", "key", unique=True),
)
Index(
    "one_an_entry",
    ANSWERS.c.rater,
    ANSWERS.c.entry,
    unique=True,
    sqlite_where=ANSWERS.c.undone_at.is_(None),
    postgresql_where=ANSWERS.c.undone_at.is_(None),
)


def opened(folder: Path, url: str | None, study: str) -> tuple[Engine, Engine]:
    """The engines that write and that read, of answers.sqlite in the folder or of `url`; tables are made where there are none,
    and the database is the `study`'s from then on. ValueError in one line when there is no such database, or it is another's."""
    address = f"sqlite:///{folder / 'answers.sqlite'}" if url is None else url
    try:
        if url is not None and not url.startswith("postgresql"):
            raise ValueError("give postgresql+psycopg://USER@HOST/NAME, or leave it out")
        if url is not None and "@" in url.replace("@", "", 1) + url.partition("?")[2]:
            # the rest of the password would be taken for a host, and told
            raise ValueError("an @ of a password is written as %40")
        settings: dict[str, Any] = {} if url is None else {"pool_pre_ping": True}
        write = create_engine(address, **settings)
        read = create_engine(address, pool_size=8, max_overflow=32, **settings) if url is None else write
        if url is None:
            _sqlite(write, "IMMEDIATE")  # a read that becomes a write cannot wait for another writer
            _sqlite(read, "DEFERRED")
        METADATA.create_all(write)
        if _begun(write, study) != study:
            raise ValueError("it has the answers of another study; give a database of its own to each")
    except ImportError:
        raise ValueError(f"{_told(url)} needs pip install 'imagen-cascade[rate-postgres]'") from None
    except (ArgumentError, NoSuchModuleError, SQLAlchemyError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{_told(url) if url else folder / 'answers.sqlite'}: cannot be used ({words})"
        ) from None
    return write, read


def _begun(engine: Engine, study: str) -> str:
    """Whose database it is: `study`'s, if it was nobody's."""
    wanted = select(STUDY.c.id)
    with engine.connect() as connection:
        found = connection.execute(wanted).scalar()
    if found is not None:
        return found
    try:
        with engine.begin() as connection:
            connection.execute(insert(STUDY).values(one=1, id=study))
    except IntegrityError:  # another server was first
        return _begun(engine, study)
    return study


def forgotten(engine: Engine) -> bool:
    """Empty SQLite's log, which has what was written, deleted or not -> whether that could be done; other databases look after
    their own."""
    if engine.dialect.name != "sqlite":
        return True
    with closing(engine.raw_connection()) as connection:  # without a transaction
        (busy, *_) = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # pyright: ignore[reportOptionalMemberAccess]
    return not busy


def _told(url: str | None) -> str:
    """Without the password, which stands before an @ or behind a ?."""
    return f"database={str(url).partition('?')[0].rpartition('@')[2]}"


def _sqlite(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # else the driver begins transactions of its own
        # secure_delete: of what is erased no byte stays in the file
        for pragma in (
            "busy_timeout=10000",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")
