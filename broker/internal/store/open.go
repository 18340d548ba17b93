package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// setAside is added to the name of a damaged database, and then the date.
const setAside = ".damaged-"

// open locks the database and opens it.
func (s *Store) open() (found Findings, err error) {
	if s.locks, err = lock(s.path); err != nil {
		return Findings{}, err
	}
	if found, err = s.openDatabase(); err != nil {
		return Findings{}, errors.Join(err, unlock(s.locks))
	}
	return found, nil
}

// openDatabase makes the database at the path that of s, sealed with the current
// key, whatever it finds there. If there is no database to go on with and no room
// for a new one, s has none afterwards.
func (s *Store) openDatabase() (found Findings, err error) {
	path := s.path
	// The file itself has to be renamed and removed, not a link to it.
	if file, err := filepath.EvalSymlinks(path); err == nil { // else there is none yet
		path = file
	}
	s.tidy(path, &found)
	absent := !exists(path)
	db, sealed, err := openSound(path, s.keys)
	damaged := isDamage(err)
	if damaged {
		found.Aside = &Aside{Path: path + setAside + time.Now().UTC().Format("20060102T150405.000Z"), Reason: err}
		if err = os.Rename(path, found.Aside.Path); err != nil {
			found.Aside, err = nil, fmt.Errorf("setting a damaged database aside: %w", err)
		} else {
			db, sealed, err = openSound(path, s.keys)
		}
	}
	switch {
	case errors.Is(err, errOtherKey):
		found.Unreadable = errOtherKey
		db, sealed, err = s.replace(path, nil, nil, &found)
	case err == nil && sealed != s.keys.current():
		db, sealed, err = s.replace(path, db, sealed, &found)
	}
	if (absent || damaged || found.Unreadable != nil) && isFull(err) {
		found.Full, s.tried = err, time.Now()
		if absent || found.Aside != nil {
			_ = os.Remove(path) // the part of a new one that there was room for
		}
		return found, nil
	}
	if err != nil {
		return Findings{}, err
	}
	s.current.Store(&database{db, sealed})
	if s.keys.current() != nil {
		found.warnOfPlain(path)
	}
	return found, nil
}

// replace rewrites the database with the current key, and opens the result. db is
// the old database, nil if nothing in it can be read.
func (s *Store) replace(path string, db *bolt.DB, sealed *sealer, found *Findings) (*bolt.DB, *sealer, error) {
	err := rewrite(path, db, sealed, s.keys.current())
	if err != nil && sealed != nil { // the older key still works: no reason not to start
		found.warnf("the database is still sealed with an older key of encryption_key_file, which must stay there until a start has rewritten it: %v", err)
		return db, sealed, nil
	}
	if err != nil {
		err = fmt.Errorf("sealing it: %w; mend that, or remove the database, everything in which can be fetched again", err)
	}
	if db != nil {
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		return nil, nil, err
	}
	if err := syncDir(path); err != nil {
		found.warnf("the database was rewritten, and a power cut may undo that: %v", err)
	}
	return openSound(path, s.keys)
}

// openSound opens the database after it has made sure that this is safe. sealed
// is the one of keys that the database is sealed with, nil if it is not sealed.
func openSound(path string, keys Keys) (_ *bolt.DB, sealed *sealer, err error) {
	if err := inspect(path); err != nil {
		return nil, nil, err
	}
	var db *bolt.DB
	err = guarded(func() (err error) {
		// The freelist is written (the default): without it more kinds of
		// damage go unnoticed until they are fatal.
		db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
		return err
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, nil, ErrHeld
	}
	if err != nil {
		return nil, nil, err
	}
	var l layout
	err = check(db)
	if err == nil { // before anything is written: a database that is set aside stays as it was
		err = guarded(func() error {
			return db.View(func(tx *bolt.Tx) (err error) {
				if l, err = readLayout(tx); err != nil {
					return err
				}
				if sealed, err = l.sealer(keys); err != nil {
					return err
				}
				return verify(tx, l, sealed)
			})
		})
	}
	if l.schema == 0 {
		sealed = keys.current()
	}
	if err == nil && !l.ready { // a ready one opens without a write: the volume may be full
		err = guarded(func() error { return db.Update(func(tx *bolt.Tx) error { return prepare(tx, l, sealed) }) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, sealed, nil
}

// tidy mends what an earlier broker, or a person, may have left: a database that
// others can read, and an unfinished new one.
func (*Store) tidy(path string, found *Findings) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			found.warnf("others than the broker can read the database, and its mode cannot be changed: %v", err)
		}
	}
	if err := removeRewriting(path); err != nil {
		found.warnf("%v", err)
	}
}

// warnOfPlain warns of databases that were set aside. They may be older than
// the sealing, and nobody can tell: they are damaged.
func (f *Findings) warnOfPlain(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		f.warnf("looking for databases that were set aside: %v", err)
		return
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+setAside) && e.Type() != fs.ModeDir {
			found = append(found, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	if len(found) > 0 {
		f.warnf("databases that were set aside may hold credentials in plain text: look at them if you want to know what happened, then delete %s", strings.Join(found, ", "))
	}
}

func (f *Findings) warnf(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}
