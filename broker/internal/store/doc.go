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
// Layout: bucket "accounts", in it a bucket for each appid, in it the keys,
// each value behind a CRC-32C of appid, key and value (big-endian, 4 bytes);
// and bucket "meta" with the key "schema", the layout's number in decimal.
package store
