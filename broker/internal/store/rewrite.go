package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

// rewriting is added to the name of a database while the new one is written that
// takes its place. A broker that dies meanwhile leaves the old database where it
// was. The next broker removes the unfinished one.
const rewriting = ".rewriting"

// rewrite puts a new database in the place of the one at path, with all that
// the old one has: sealed with another key, and without the pages that bbolt
// calls free and leaves as they were. The old one stays open, without a name.
// Without an old one the new one is empty.
//
// At every instant there is one of the two at path, and it is whole. After an
// error it is the old one.
func rewrite(path string, old *bolt.DB, was, becomes *sealer) error {
	fresh := path + rewriting
	err := write(fresh, func(to *bolt.Tx) error { return refill(to, old, was, becomes) })
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh) // or the next Open does
	}
	return err
}

// write makes a new database of the values that fill puts into it, and syncs it to
// the disk.
func write(path string, fill func(*bolt.Tx) error) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockTimeout,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			return os.OpenFile(name, flag|os.O_EXCL, mode) // never through somebody else's link
		},
	})
	if err != nil {
		return err
	}
	err = guarded(func() error { return db.Update(fill) })
	return errors.Join(err, db.Sync(), db.Close())
}

// refill writes all that old has to a new database.
func refill(to *bolt.Tx, old *bolt.DB, was, becomes *sealer) error {
	if err := prepare(to, layout{}, becomes); err != nil || old == nil {
		return err
	}
	accounts := to.Bucket(accountsBucket)
	return old.View(func(from *bolt.Tx) error {
		return each(from.Bucket(accountsBucket), func(appid, key string, stored []byte) error {
			value, err := was.unpack(appid, key, stored)
			if err != nil {
				return err
			}
			account, err := accounts.CreateBucketIfNotExists([]byte(appid))
			if err != nil {
				return err
			}
			return account.Put([]byte(key), becomes.pack(appid, key, value))
		})
	})
}

// removeRewriting removes the unfinished database of a broker that died while it
// rewrote this one.
func removeRewriting(path string) error {
	if err := os.Remove(path + rewriting); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing what is left of an attempt to rewrite it: %w", err)
	}
	return nil
}

// syncDir lets a rename in the directory of path survive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
