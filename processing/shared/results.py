"""Results in the database, where every process can reach them."""

from __future__ import annotations

from dataclasses import dataclass

from processing.shared.store import SharedStore


@dataclass(frozen=True, slots=True)
class StoredResults:
    """The pictures of painted jobs; those of a job that is another process's by now are left as they are."""

    store: SharedStore

    async def put(self, job_id: int, picture: bytes, photo: bytes) -> None:
        await self.store.put_pictures(job_id, picture, photo)

    async def has(self, job_id: int) -> bool:
        return await self.store.has_pictures(job_id)

    async def get_picture(self, job_id: int) -> bytes | None:
        return await self.store.get_picture(job_id, as_photo=False)

    async def get_photo(self, job_id: int) -> bytes | None:
        return await self.store.get_picture(job_id, as_photo=True)

    async def discard(self, job_id: int) -> None:
        await self.store.remove_pictures(job_id)
