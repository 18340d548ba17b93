// Package store keeps what has to survive the broker's death, in one bbolt
// file that only one broker may hold.
//
// Before it is opened the file is checked, because a damaged one can end the
// process; one that is damaged is set aside, since everything in it can be
// fetched again. All of that happens under a lock on FILE.lock.
//
// It is a map from (appid, key) to bytes and does not know what they mean. A
// Put is on the disk (fsync) when it returns.
//
// # Layout
//
// Bucket "accounts", in it a bucket for each appid, in it the keys, each value
// behind a CRC-32C of appid, key and value (big-endian, 4 bytes); and bucket
// "meta" with the key "schema", the layout's number in decimal: 2.
//
// With [Keys] the schema is 3. In place of each value stands what AES-256-GCM
// made of it, bound to its appid and key, behind a checksum of the same form:
// so damage can be told from a wrong key. The key "sealed" of "meta" holds a
// known text under the same key, by which a key is recognised even where there
// is no value. Appids, keys and the lengths of values are not hidden. Without
// Keys a database stays at schema 2, which older brokers read as well.
//
// # Sealing
//
// What Open does with a database depends on what that is sealed with:
//
//   - Nothing, and there are keys: it is rewritten, sealed.
//   - The first key, or nothing and there are no keys: it is opened.
//   - Another of the keys: it is rewritten under the first. If that fails, for
//     lack of room say, it is opened as it is, with a warning.
//   - A key that is not there: nothing in it can be read, and an empty one takes
//     its place. It is not kept: whoever took a key away may have had a reason.
//   - Some key, and there are none: Open refuses.
//
// Rewriting copies every value to a new file, FILE.rewriting, which is synced
// and then renamed over the old one. The old pages, with what bbolt left in
// those that are free, go with the old file. That is all that can be promised:
// nothing is overwritten, for a filesystem that copies on write and a disk that
// levels its wear would write to another place anyway. What the disk's blocks,
// snapshots, backups and databases that were set aside before hold in plain
// text stays there until somebody sees to it.
//
// Sealing keeps values from who reads the file. It does not prove who wrote it:
// whoever can write it can put back an old copy, or one that was never sealed.
package store
