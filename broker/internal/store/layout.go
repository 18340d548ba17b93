package store

import (
	"errors"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// The layouts in doc.go. A newer one is for a newer broker; 1 had values
// without checksums. A database that is not sealed stays at 2, so that the
// broker before this one can have it back.
const (
	withoutSums  = 1
	plainSchema  = 2
	sealedSchema = 3
)

var (
	metaBucket     = []byte("meta")
	accountsBucket = []byte("accounts")
	schemaKey      = []byte("schema")
	sealedKey      = []byte("sealed")
)

var (
	errNoKey = errors.New("it is sealed: name the file with its key under encryption_key_file, " +
		"or remove the database, everything in which can be fetched again")
	errOtherKey = errors.New("the database is sealed with a key that is not in encryption_key_file: nothing in it can be read, " +
		"and everything is fetched again; to keep it next time, leave the old key on the file's second line")
)

// layout is what a database says of itself. The zero value is a new one's.
type layout struct {
	schema int
	check  []byte // recognises the key that it is sealed with, nil if it is not sealed
	ready  bool   // it needs no preparation
}

// readLayout returns the layout of a database, and makes sure that its parts
// agree. If one bit of the schema has turned, sealed bytes must not be taken for
// tokens.
func readLayout(tx *bolt.Tx) (layout, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil && tx.Bucket(accountsBucket) == nil {
		return layout{}, nil
	}
	if meta == nil || meta.Get(schemaKey) == nil {
		return layout{}, fmt.Errorf("%w: it does not say its schema", errDamaged)
	}
	schema, err := strconv.Atoi(string(meta.Get(schemaKey)))
	check := meta.Get(sealedKey)
	switch {
	case err != nil || schema < withoutSums:
		return layout{}, fmt.Errorf("%w: its schema is not a number", errDamaged)
	case schema > sealedSchema:
		return layout{}, fmt.Errorf("it has schema %q and this broker knows %d: use the broker that wrote it, or a newer one", strconv.Itoa(schema), sealedSchema)
	case (schema == sealedSchema) != (check != nil):
		return layout{}, fmt.Errorf("%w: it is sealed and says that it is not, or the other way round", errDamaged)
	}
	ready := schema >= plainSchema && tx.Bucket(accountsBucket) != nil
	return layout{schema, append([]byte(nil), check...), ready}, nil
}

// sealer returns the one of keys that the database is sealed with, nil if it is
// not sealed.
func (l layout) sealer(keys Keys) (*sealer, error) {
	if l.schema != sealedSchema {
		return nil, nil
	}
	for _, s := range keys.sealers {
		switch ok, err := s.recognises(l.check); {
		case err != nil:
			return nil, fmt.Errorf("%w: what recognises its key: %w", errDamaged, err)
		case ok:
			return s, nil
		}
	}
	if keys.current() == nil {
		return nil, errNoKey
	}
	return nil, errOtherKey
}

// verify reads every value that has a checksum.
func verify(tx *bolt.Tx, l layout, sealed *sealer) error {
	accounts := tx.Bucket(accountsBucket)
	if l.schema < plainSchema || accounts == nil {
		return nil
	}
	return each(accounts, func(appid, key string, stored []byte) error {
		if _, err := sealed.unpack(appid, key, stored); err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		return nil
	})
}

// prepare makes the buckets of a new database, which is sealed unless sealed is
// nil. An older database it brings up to schema 2.
func prepare(tx *bolt.Tx, l layout, sealed *sealer) error {
	accounts, err := tx.CreateBucketIfNotExists(accountsBucket)
	if err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	schema := plainSchema
	switch {
	case l.schema >= plainSchema:
		return nil
	case l.schema == withoutSums:
		if err := addSums(accounts); err != nil {
			return err
		}
	case sealed != nil:
		schema = sealedSchema
		if err := meta.Put(sealedKey, sealed.check()); err != nil {
			return err
		}
	}
	return meta.Put(schemaKey, []byte(strconv.Itoa(schema)))
}

// addSums brings values from schema 1 to 2.
func addSums(accounts *bolt.Bucket) error {
	var unsealed *sealer
	return accounts.ForEachBucket(func(appid []byte) error {
		account, wrapped := accounts.Bucket(appid), map[string][]byte{}
		err := account.ForEach(func(key, value []byte) error {
			wrapped[string(key)] = unsealed.pack(string(appid), string(key), value)
			return nil
		})
		for key, value := range wrapped {
			err = errors.Join(err, account.Put([]byte(key), value))
		}
		return err
	})
}

// each calls f for what is stored under every key of every appid.
func each(accounts *bolt.Bucket, f func(appid, key string, stored []byte) error) error {
	return accounts.ForEachBucket(func(appid []byte) error {
		return accounts.Bucket(appid).ForEach(func(key, stored []byte) error {
			return f(string(appid), string(key), stored)
		})
	})
}
