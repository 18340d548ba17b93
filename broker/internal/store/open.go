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

// setAside ends the name of a damaged database, before the date.
const setAside = ".damaged-"

func open(path string, keys Keys) (*Store, error) {
	held, err := lock(path)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: held}
	if err := s.open(path, keys); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return s, nil
}

// open opens the database at path as its own, sealed with the current key of
// keys, whatever it finds there.
func (s *Store) open(path string, keys Keys) (err error) {
	// What is renamed and removed has to be the file, not a link to it.
	if file, err := filepath.EvalSymlinks(path); err == nil { // else there is none yet
		path = file
	}
	s.tidy(path)
	s.db, s.sealed, err = openSound(path, keys)
	if isDamage(err) {
		s.aside = &Aside{Path: path + setAside + time.Now().UTC().Format("20060102T150405.000Z"), Reason: err}
		if err := os.Rename(path, s.aside.Path); err != nil {
			return fmt.Errorf("setting a damaged database aside: %w", err)
		}
		s.db, s.sealed, err = openSound(path, keys)
	}
	switch {
	case errors.Is(err, errOtherKey):
		s.unreadable = errOtherKey
		err = s.replace(path, keys)
	case err == nil && s.sealed != keys.current():
		err = s.replace(path, keys)
	}
	if err == nil && keys.current() != nil {
		s.warnOfPlain(path)
	}
	return err
}

// replace rewrites the database with the current key of keys, and opens what
// came of that.
func (s *Store) replace(path string, keys Keys) error {
	err := rewrite(path, s.db, s.sealed, keys.current())
	if err != nil && s.sealed != nil { // no reason to be without a broker
		s.warnf("the database is still sealed with an older key of encryption_key_file, which must stay there until a start has rewritten it: %v", err)
		return nil
	}
	if err != nil {
		err = fmt.Errorf("sealing it: %w; mend that, or remove the database, everything in which can be fetched again", err)
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if err != nil {
		return err
	}
	if err := syncDir(path); err != nil {
		s.warnf("the database was rewritten, and a power cut may undo that: %v", err)
	}
	s.db, s.sealed, err = openSound(path, keys)
	return err
}

// openSound opens the database after making sure that it can be. It returns
// what the database is sealed with.
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
	if err == nil { // before anything is written: what is set aside stays as it was
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
	if err == nil {
		err = guarded(func() error { return db.Update(func(tx *bolt.Tx) error { return prepare(tx, l, sealed) }) })
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, sealed, nil
}

// tidy sees to what an earlier broker, or a person, may have left: a database
// that others can read, and half of a new one.
func (s *Store) tidy(path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			s.warnf("others than the broker can read the database, and its mode cannot be changed: %v", err)
		}
	}
	if err := removeRewriting(path); err != nil {
		s.warnf("%v", err)
	}
}

// warnOfPlain warns of databases that were set aside. They may be older than
// the sealing, and nobody can tell: they are damaged.
func (s *Store) warnOfPlain(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		s.warnf("looking for databases that were set aside: %v", err)
		return
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), filepath.Base(path)+setAside) && e.Type() != fs.ModeDir {
			found = append(found, filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
	if len(found) > 0 {
		s.warnf("databases that were set aside may hold credentials in plain text: look at them if you want to know what happened, then delete %s", strings.Join(found, ", "))
	}
}

func (s *Store) warnf(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}
