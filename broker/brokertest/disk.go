package brokertest

import (
	"maps"
	"sync"

	"github.com/wxbroker/wxbroker/broker/internal/app"
	"github.com/wxbroker/wxbroker/broker/internal/store"
)

// Disk is a place for a database that a test can trouble. The zero value keeps
// it in memory, across brokers.
type Disk struct {
	// File keeps it in the file that Config.Data names instead.
	File bool
	// Write is called for every write, with what does it; nil just does it.
	Write func(key string, write func() error) error

	mu     sync.Mutex
	values map[string]map[string][]byte // by appid and key
}

// open opens the database as a starting broker does.
func (d *Disk) open(path string, keys store.Keys) (app.Store, error) {
	if !d.File {
		return &troubled{disk: d}, nil
	}
	file, err := store.Open(path, keys)
	if err != nil {
		return nil, err
	}
	return &troubled{file: file, disk: d}, nil
}

// troubled is a store in a file or, without one, in the disk's memory.
type troubled struct {
	file *store.Store
	disk *Disk
}

func (s *troubled) Put(appid, key string, value []byte) error {
	write := func() error {
		if s.file != nil {
			return s.file.Put(appid, key, value)
		}
		s.disk.put(appid, key, value)
		return nil
	}
	if s.disk.Write == nil {
		return write()
	}
	return s.disk.Write(key, write)
}

func (s *troubled) All(appid string) (map[string][]byte, error) {
	if s.file != nil {
		return s.file.All(appid)
	}
	return s.disk.all(appid), nil
}

func (s *troubled) Aside() *store.Aside {
	if s.file != nil {
		return s.file.Aside()
	}
	return nil
}

func (s *troubled) Unreadable() error {
	if s.file != nil {
		return s.file.Unreadable()
	}
	return nil
}

func (s *troubled) Warnings() []string {
	if s.file != nil {
		return s.file.Warnings()
	}
	return nil
}

func (s *troubled) Close() error {
	if s.file != nil {
		return s.file.Close()
	}
	return nil
}

func (d *Disk) put(appid, key string, value []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.values == nil {
		d.values = make(map[string]map[string][]byte)
	}
	if d.values[appid] == nil {
		d.values[appid] = make(map[string][]byte)
	}
	d.values[appid][key] = value
}

func (d *Disk) all(appid string) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.values[appid])
}
