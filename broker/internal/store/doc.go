// Package store keeps what has to survive the broker's death, in one bbolt
// file that only one broker may hold.
//
// The file is checked before it is opened, because a damaged file can end the
// process. A damaged file is set aside, since everything in it can be fetched
// again. All of that happens under a lock on FILE.lock.
//
// The store is a map from (appid, key) to bytes and does not know what they
// mean. A Put is on the disk (fsync) when it returns. Put waits for the disk for
// as long as that takes; a [Writer] bounds the wait.
//
// # Layout
//
// Bucket "accounts", in it a bucket for each appid, in it the keys, each value
// behind a CRC-32C of appid, key and value (big-endian, 4 bytes); and bucket
// "meta" with the key "schema", the layout's number in decimal: 2.
//
// With [Keys] the schema is 3. Each value is then sealed with AES-256-GCM, bound
// to its appid and key, and stands behind a checksum of the same form. So damage
// can be told from a wrong key. The key "sealed" of "meta" holds a known text that
// is sealed in the same way: by it the right one of the Keys is recognised, even
// where there is no value. Appids, keys and the lengths of values are not hidden.
// Without Keys a database stays at schema 2, which older brokers read as well.
//
// # Sealing
//
// What Open does depends on how the database is sealed and on the Keys that it is
// given:
//
//   - Not sealed, and there are Keys: the database is rewritten, sealed.
//   - Sealed with the first of the Keys, or not sealed and there are no Keys: it
//     is opened.
//   - Sealed with another of the Keys: it is rewritten under the first. If that
//     fails, for lack of room say, it is opened as it is, with a warning.
//   - Sealed with a key that is not among the Keys: nothing in it can be read, and
//     an empty database takes its place. The old one is not kept: whoever took
//     the key away may have had a reason.
//   - Sealed, and there are no Keys: Open refuses.
//
// Rewriting copies every value to a new file, FILE.rewriting. The new file is
// synced and then renamed over the old one. The old pages go with the old file,
// and so does what bbolt left in free pages. More than that cannot be promised.
// Nothing is overwritten: a filesystem that copies on write and a disk that levels
// its wear would write to another place anyway. Plain text that is still in the
// disk's blocks, in snapshots, in backups and in databases that were set aside
// before stays there until somebody removes it.
//
// Sealing hides values from whoever reads the file. It does not prove who wrote
// the file: whoever can write it can put back an old copy, or one that was never
// sealed.
package store
