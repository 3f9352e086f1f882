"""The state on the disk: a RocksDB per partition, within one bound of memory for all of them.

Responsible for opening, closing and throwing away the databases of the partitions that are ours. Must not know what
is in them.

No handle may be kept: RocksDB lets one process open a database once, and a partition that leaves and comes back is
closed and opened in between. So
`Disk.database` is asked each time, and databases are closed explicitly.
"""

from __future__ import annotations

import shutil
from typing import Any

import rocksdict
from faust.stores.rocksdb import Store
from faust.types import TP
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBufferManager

CACHE_BYTES = 48 << 20
WRITE_BUFFERS_BYTES = 32 << 20

_cache = Cache(CACHE_BYTES)
_write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(WRITE_BUFFERS_BYTES, False, _cache)


def options() -> Options:
    """What every database is opened with; they share a cache and the memory for writes."""
    table = BlockBasedOptions()
    table.set_block_cache(_cache)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_bloom_filter(10, block_based=False)
    table.set_block_size(8 << 10)
    found = Options(raw_mode=True)
    found.create_if_missing(True)
    found.set_block_based_table_factory(table)
    found.set_write_buffer_manager(_write_buffers)
    found.set_write_buffer_size(8 << 20)
    found.set_max_write_buffer_number(2)
    found.set_target_file_size_base(16 << 20)
    found.set_max_open_files(128)
    found.set_max_background_jobs(2)
    found.set_compression_type(rocksdict.DBCompressionType.lz4())
    # The state's log is Kafka's; this one only spares reading it again after a crash of the process.
    found.set_max_total_wal_size(32 << 20)
    found.set_keep_log_file_num(2)
    return found


class Disk(Store):
    """Faust's store of the one table, with our options and explicit closing."""

    def database(self, partition: int) -> Rdict | None:
        """The database of a partition that is ours, else None. Not to be kept across an `await`."""
        return self._dbs.get(partition)

    def wipe(self, partition: int) -> Rdict:
        """Throws away what the partition's database holds; returns it empty."""
        self._close(partition)
        shutil.rmtree(self.partition_path(partition), ignore_errors=True)
        database: Rdict = self._db_for_partition(partition)
        return database

    def _open_for_partition(self, partition: int) -> Rdict:
        return Rdict(str(self.partition_path(partition)), options=options())

    def _close(self, partition: int) -> None:
        if (database := self._dbs.pop(partition, None)) is not None:
            database.close()

    def revoke_partitions(self, table: Any, tps: set[TP]) -> None:
        """Closes what has left us. Faust drops the last reference and hopes."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                self._close(tp.partition)

    async def stop(self) -> None:
        """Closes all."""
        for partition in list(self._dbs):
            self._close(partition)
