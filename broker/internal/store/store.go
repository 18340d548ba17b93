package store

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrHeld is returned by Open when another process holds the file.
var ErrHeld = errors.New("another broker holds it: stop it, or name another file under the key data")

// Place is where a value belongs.
type Place struct{ AppID, Key string }

// Values are values by their place.
type Values map[Place][]byte

// Store is an open database. It is safe for concurrent use.
type Store struct {
	path string
	keys Keys

	current atomic.Pointer[database] // nil as long as the volume is full, see Findings.Full
	locks   []*os.File

	writing sync.Mutex // held by whoever writes; guards what follows
	tried   time.Time  // when the volume was last found full
}

// database is an open file.
type database struct {
	*bolt.DB
	sealed *sealer // nil if it is not sealed
}

// Findings are what Open found out.
type Findings struct {
	// Aside is a damaged database that was set aside, nil for none.
	Aside *Aside
	// Unreadable says that the database was sealed with a key that Open was not
	// given, and that an empty one has taken its place. It is nil otherwise.
	Unreadable error
	// Full says that there is no database to go on with and the volume has no
	// room for a new one. Then the store has nothing and refuses every Put, until
	// there is room. It is nil otherwise.
	Full error
	// Warnings say, a sentence each, what an operator should mend, though it works.
	Warnings []string
}

// Lost reports whether something that was stored is lost.
func (f *Findings) Lost() bool { return f.Aside != nil || f.Unreadable != nil || f.Full != nil }

// Aside is a damaged database that was set aside when the store was opened.
type Aside struct {
	Path   string // where it is now
	Reason error
}

// Open opens or creates the database at path, readable by its owner alone, and
// sealed if there are keys. A damaged one is set aside under a dated name, and a
// new one takes its place: what was in it can be fetched again. For the same
// reason a database that no key opens is replaced, and Open succeeds without one
// where the volume is full (see [Findings]). A sealed database is never opened
// without keys. Open gives up with [ErrHeld] within a second when another process
// has the database.
func Open(path string, keys Keys) (*Store, Findings, error) {
	s := &Store{path: path, keys: keys}
	found, err := s.open()
	if err != nil {
		return nil, Findings{}, fmt.Errorf("opening the database %s: %w", path, err)
	}
	return s, found, nil
}

// betweenTries is how soon a volume that was full is tried again.
const betweenTries = 10 * time.Second

// Put stores values, all of them or none. They are durable once Put returns nil.
func (s *Store) Put(values Values) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.current.Load() == nil {
		if err := s.openAgain(); err != nil {
			return fmt.Errorf("writing to the database: %w", err)
		}
	}
	db := s.current.Load()
	err := db.Update(func(tx *bolt.Tx) error {
		accounts := tx.Bucket(accountsBucket)
		for at, value := range values {
			account, err := accounts.CreateBucketIfNotExists([]byte(at.AppID))
			if err != nil {
				return err
			}
			if err := account.Put([]byte(at.Key), db.sealed.pack(at.AppID, at.Key, value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing to the database: %w", err)
	}
	return nil
}

// openAgain makes the database that the volume had no room for, if there is room
// now.
func (s *Store) openAgain() error {
	if time.Since(s.tried) < betweenTries {
		return errFull
	}
	found, err := s.openDatabase()
	if err == nil {
		err = found.Full
	}
	return err
}

// All returns every key and value of appid: none is an empty map.
func (s *Store) All(appid string) (map[string][]byte, error) {
	all := map[string][]byte{}
	db := s.current.Load()
	if db == nil {
		return all, nil
	}
	err := db.View(func(tx *bolt.Tx) error {
		account := tx.Bucket(accountsBucket).Bucket([]byte(appid))
		if account == nil {
			return nil
		}
		return account.ForEach(func(key, stored []byte) error {
			value, err := db.sealed.unpack(appid, string(key), stored)
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
	s.writing.Lock()
	defer s.writing.Unlock()
	var err error
	if db := s.current.Load(); db != nil {
		err = db.Close()
	}
	if err = errors.Join(err, unlock(s.locks)); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
