"""Results in the database, where every process can reach them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, Connection, insert, select

from processing.shared.store import SharedStore, drop_pictures
from processing.shared.tables import pictures


@dataclass(frozen=True, slots=True)
class StoredResults:
    """The pictures of painted jobs; those of a job that is another process's by now are left as they are."""

    store: SharedStore

    async def put(self, job_id: int, picture: bytes, photo: bytes) -> None:
        row = {"job_id": job_id, "picture": picture, "photo": photo, "stored_at": datetime.now(UTC)}

        def write(connection: Connection) -> None:
            if self.store.may_change(connection, job_id):
                drop_pictures(connection, job_id)
                connection.execute(insert(pictures).values(row))

        await self.store.database.write(write)

    async def has(self, job_id: int) -> bool:
        return await self._get(pictures.c.job_id, job_id) is not None

    async def get_picture(self, job_id: int) -> bytes | None:
        return await self._get(pictures.c.picture, job_id)

    async def get_photo(self, job_id: int) -> bytes | None:
        return await self._get(pictures.c.photo, job_id)

    async def discard(self, job_id: int) -> None:
        def write(connection: Connection) -> None:
            if self.store.may_change(connection, job_id):
                drop_pictures(connection, job_id)

        await self.store.database.write(write)

    async def delete(self, job_ids: Collection[int]) -> None:
        await self.store.database.write(lambda connection: drop_pictures(connection, *job_ids))

    async def kept(self) -> dict[int, datetime]:
        query = select(pictures.c.job_id, pictures.c.stored_at)
        return await self.store.database.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})

    async def _get(self, column: Column[bytes], job_id: int) -> bytes | None:
        query = select(column).where(pictures.c.job_id == job_id)
        return await self.store.database.read(lambda connection: connection.scalar(query))
