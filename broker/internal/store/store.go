package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// schema is the layout in doc.go. A newer one is for a newer broker; 1 had
// values without checksums.
const schema = 2

var (
	metaBucket     = []byte("meta")
	accountsBucket = []byte("accounts")
	schemaKey      = []byte("schema")
)

// ErrHeld is returned by Open when another process holds the file.
var ErrHeld = errors.New("another broker holds it: stop it, or name another file under the key data")

// Store is an open database. It is safe for concurrent use.
type Store struct {
	db    *bolt.DB
	lock  *os.File
	aside *Aside
}

// Aside is a damaged database that was set aside when the store was opened.
type Aside struct {
	Path   string // where it is now
	Reason error
}

// Open opens or creates the database at path, readable by its owner alone. One
// that is damaged is set aside under a dated name, and a new one takes its
// place: what was in it can be fetched again. Open gives up with [ErrHeld]
// within a second when another process has the database.
func Open(path string) (*Store, error) {
	s, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	return s, nil
}

// Aside returns the damaged database that Open set aside, nil if none.
func (s *Store) Aside() *Aside { return s.aside }

func open(path string) (*Store, error) {
	held, err := lock(path)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: held}
	s.db, err = openSound(path)
	if isDamage(err) {
		s.aside = &Aside{Path: path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z"), Reason: err}
		if err := os.Rename(path, s.aside.Path); err != nil {
			return nil, errors.Join(fmt.Errorf("setting a damaged database aside: %w", err), held.Close())
		}
		s.db, err = openSound(path)
	}
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return s, nil
}

// openSound opens the database after making sure that it can be.
func openSound(path string) (*bolt.DB, error) {
	if err := inspect(path); err != nil {
		return nil, err
	}
	var db *bolt.DB
	err := guarded(func() (err error) {
		// The freelist is written (the default): without it more kinds of
		// damage go unnoticed until they are fatal.
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, ErrHeld
	}
	if err != nil {
		return nil, err
	}
	err = check(db)
	if err == nil { // before anything is written: what is set aside stays as it was
		err = guarded(func() error { return db.View(checkSums) })
	}
	if err == nil {
		err = guarded(func() error { return db.Update(prepare) })
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// prepare makes the buckets and refuses a layout that this code does not know.
func prepare(tx *bolt.Tx) error {
	accounts, err := tx.CreateBucketIfNotExists(accountsBucket)
	if err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	current := []byte(strconv.Itoa(schema))
	written := meta.Get(schemaKey)
	if written == nil {
		return meta.Put(schemaKey, current)
	}
	n, err := strconv.Atoi(string(written))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("%w: its schema is not a number", errDamaged)
	case n > schema:
		return fmt.Errorf("it has schema %q and this broker knows %d: use the broker that wrote it, or a newer one", written, schema)
	case n == 1:
		if err := addSums(accounts); err != nil {
			return err
		}
		return meta.Put(schemaKey, current)
	}
	return nil
}

// addSums brings values from schema 1 to 2.
func addSums(accounts *bolt.Bucket) error {
	return accounts.ForEachBucket(func(appid []byte) error {
		account, wrapped := accounts.Bucket(appid), map[string][]byte{}
		err := account.ForEach(func(key, value []byte) error {
			wrapped[string(key)] = wrap(string(appid), string(key), value)
			return nil
		})
		for key, value := range wrapped {
			err = errors.Join(err, account.Put([]byte(key), value))
		}
		return err
	})
}

// checkSums reads every value that has a checksum.
func checkSums(tx *bolt.Tx) error {
	meta, accounts := tx.Bucket(metaBucket), tx.Bucket(accountsBucket)
	if meta == nil || accounts == nil || string(meta.Get(schemaKey)) != strconv.Itoa(schema) {
		return nil // new, or of another schema
	}
	return accounts.ForEachBucket(func(appid []byte) error {
		return accounts.Bucket(appid).ForEach(func(key, stored []byte) error {
			if _, err := unwrap(string(appid), string(key), stored); err != nil {
				return fmt.Errorf("%w: %w", errDamaged, err)
			}
			return nil
		})
	})
}

// Put stores value under key of appid. It is durable once Put returns nil.
func (s *Store) Put(appid, key string, value []byte) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		account, err := tx.Bucket(accountsBucket).CreateBucketIfNotExists([]byte(appid))
		if err != nil {
			return err
		}
		return account.Put([]byte(key), wrap(appid, key, value))
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
			value, err := unwrap(appid, string(key), stored)
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
