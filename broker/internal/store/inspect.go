package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt maps the file into memory and believes its newest valid meta page. If
// the file is shorter than that page says, a fault kills the process, and recover
// cannot always catch it. If pages point in a circle, bbolt follows them for ever.
// So the whole file is read first, as plain bytes: the meta pages here, the pages
// that they lead to in pages.go.
//
// The layout is bbolt's (internal/common/meta.go), in the machine's own byte
// order: a page header of 16 bytes, then magic, version, page size and flags
// of four bytes each; root page, root sequence, freelist page, high-water mark,
// transaction and checksum of eight bytes each. The checksum is FNV-1a over
// what stands before it.
const (
	pageHeader  = 16
	metaLen     = 64
	metaSum     = metaLen - 8
	boltMagic   = 0xED0CDAED
	boltVersion = 2
)

// errDamaged marks a database that must not be opened.
var errDamaged = errors.New("the database is damaged")

// inspect returns an error that is errDamaged when opening the file at path
// would be dangerous. A missing or empty file is sound: bbolt makes a new
// database of it.
func inspect(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if info.Size() == 0 {
		return nil
	}
	newest, found, err := newestMeta(f)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%w: it has no valid meta page", errDamaged)
	}
	// The mark is the number of pages that were ever in use.
	if want := newest.highWater * uint64(newest.pageSize); uint64(info.Size()) < want {
		return fmt.Errorf("%w: it has %d bytes where its newest meta page speaks of %d", errDamaged, info.Size(), want)
	}
	return walk(f, newest)
}

type meta struct {
	pageSize                       uint32
	root, freelist, highWater, txn uint64
}

// newestMeta finds the valid meta page with the highest transaction. The first
// two pages are meta pages. Where the second begins depends on the size of a
// page, which only the meta pages themselves say.
func newestMeta(f io.ReaderAt) (newest meta, found bool, err error) {
	consider := func(offset int64) error {
		m, ok, err := readMeta(f, offset)
		if ok && (!found || m.txn > newest.txn) && (offset == 0 || offset == int64(m.pageSize)) {
			newest, found = m, true
		}
		return err
	}
	if err := consider(0); err != nil {
		return meta{}, false, err
	}
	for size := int64(1 << 10); size <= 64<<10; size *= 2 {
		if err := consider(size); err != nil {
			return meta{}, false, err
		}
	}
	return newest, found, nil
}

func readMeta(f io.ReaderAt, offset int64) (meta, bool, error) {
	var page [pageHeader + metaLen]byte
	if _, err := f.ReadAt(page[:], offset); errors.Is(err, io.EOF) {
		return meta{}, false, nil
	} else if err != nil {
		return meta{}, false, err
	}
	b, order := page[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSum])
	m := meta{
		pageSize: order.Uint32(b[8:]), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		highWater: order.Uint64(b[40:]), txn: order.Uint64(b[48:]),
	}
	valid := order.Uint32(b) == boltMagic && order.Uint32(b[4:]) == boltVersion &&
		order.Uint64(b[metaSum:]) == sum.Sum64() &&
		m.pageSize >= 512 && m.pageSize <= 1<<20 && m.highWater < 1<<40
	return m, valid, nil
}
