package store

import (
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// ErrHeld is returned by Open when another process holds the file.
var ErrHeld = errors.New("another broker holds it: stop it, or name another file under the key data")

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db         *bolt.DB
	sealed     *sealer // nil if the database is not sealed
	lock       *os.File
	aside      *Aside
	unreadable error
	warnings   []string
}

// Aside is a damaged database that was set aside when the store was opened.
type Aside struct {
	Path   string // where it is now
	Reason error
}

// Open opens or creates the database at path, readable by its owner alone, and
// sealed if there are keys. One that is damaged is set aside under a dated name,
// and a new one takes its place: what was in it can be fetched again. For the
// same reason one that no key opens is replaced. A sealed database is never
// opened without keys. Open gives up with [ErrHeld] within a second when another
// process has the database.
func Open(path string, keys Keys) (*Store, error) {
	s, err := open(path, keys)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	return s, nil
}

// Aside returns the damaged database that Open set aside, nil if none.
func (s *Store) Aside() *Aside { return s.aside }

// Unreadable says that the database was sealed with a key that Open was not
// given, and that an empty one has taken its place. It is nil otherwise.
func (s *Store) Unreadable() error { return s.unreadable }

// Warnings are sentences about what is not well, though it works.
func (s *Store) Warnings() []string { return s.warnings }

// Put stores value under key of appid. It is durable once Put returns nil.
func (s *Store) Put(appid, key string, value []byte) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		account, err := tx.Bucket(accountsBucket).CreateBucketIfNotExists([]byte(appid))
		if err != nil {
			return err
		}
		return account.Put([]byte(key), s.sealed.pack(appid, key, value))
	})
	if err != nil {
		return fmt.Errorf("writing %s of %s to the database: %w", key, appid, err)
	}
	return nil
}

// All returns every key and value of appid: none is an empty map.
func (s *Store) All(appid string) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := s.db.View(func(tx *bolt.Tx) error {
		account := tx.Bucket(accountsBucket).Bucket([]byte(appid))
		if account == nil {
			return nil
		}
		return account.ForEach(func(key, stored []byte) error {
			value, err := s.sealed.unpack(appid, string(key), stored)
			all[string(key)] = value
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s from the database: %w", appid, err)
	}
	return all, nil
}

// Close lets go of the file.
func (s *Store) Close() error {
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
