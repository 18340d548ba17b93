package store

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schema is the layout in doc.go. A newer one is for a newer broker.
const schema = 1

// lockTimeout is how long Open waits for another process to let go of the
// file: long enough for a restart that overlaps, short enough to be told.
const lockTimeout = 500 * time.Millisecond

var (
	metaBucket     = []byte("meta")
	accountsBucket = []byte("accounts")
	schemaKey      = []byte("schema")
)

// ErrHeld is returned by Open when another process holds the file.
var ErrHeld = errors.New("another broker holds it")

// Store is an open database. It is safe for concurrent use.
type Store struct{ db *bolt.DB }

// Open opens or creates the database at path, readable by its owner alone.
// It gives up with [ErrHeld] within a second when another process has it.
func Open(path string) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("opening the database %s: %w: stop it, or name another file under the key data", path, ErrHeld)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("preparing the database %s: %w", path, err), db.Close())
	}
	return &Store{db: db}, nil
}

// prepare makes the buckets and refuses a layout that this code does not know.
func prepare(tx *bolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(accountsBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	written := meta.Get(schemaKey)
	if written == nil {
		return meta.Put(schemaKey, []byte(strconv.Itoa(schema)))
	}
	if n, err := strconv.Atoi(string(written)); err != nil || n != schema {
		return fmt.Errorf("it has schema %q and this broker knows %d: use the broker that wrote it, or a newer one", written, schema)
	}
	return nil
}

// Put stores value under key of appid. It is durable once Put returns nil.
func (s *Store) Put(appid, key string, value []byte) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		account, err := tx.Bucket(accountsBucket).CreateBucketIfNotExists([]byte(appid))
		if err != nil {
			return err
		}
		return account.Put([]byte(key), value)
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
		return account.ForEach(func(key, value []byte) error {
			all[string(key)] = append([]byte(nil), value...)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s from the database: %w", appid, err)
	}
	return all, nil
}

// Close lets go of the file.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
