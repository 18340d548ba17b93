package store

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A page of bbolt's (internal/common/page.go): id of eight bytes, flags and
// count of two each, overflow of four; then count elements of sixteen bytes;
// then the data that the elements point at. Each position counts from the
// beginning of its element.
const (
	elementLen   = 16
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketLeaf   = 0x01 // an element's flag: its value is a bucket
	bucketHeader = 16   // root page and sequence
	noFreelist   = ^uint64(0)
)

// pages follows every pointer of a database once. The pointers of a damaged
// database can lead in a circle, which bbolt would follow for ever, or out of the
// file.
type pages struct {
	file      io.ReaderAt
	size      uint64 // of a page
	highWater uint64
	used      map[uint64]bool
}

// walk checks that the pages that m leads to are a tree inside the file, and that
// its freelist names only other pages. Else the error is errDamaged.
func walk(file io.ReaderAt, m meta) error {
	p := &pages{file: file, size: uint64(m.pageSize), highWater: m.highWater, used: map[uint64]bool{0: true, 1: true}}
	if err := p.tree(m.root); err != nil {
		return err
	}
	if m.freelist == noFreelist {
		return nil
	}
	return p.freelist(m.freelist)
}

// read returns a page with its overflow pages. No page may be used twice.
func (p *pages) read(id uint64) ([]byte, error) {
	header := make([]byte, pageHeader)
	if id >= p.highWater {
		return nil, fmt.Errorf("%w: page %d is beyond its end", errDamaged, id)
	}
	if _, err := p.file.ReadAt(header, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	last := id + uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header) != id || last >= p.highWater {
		return nil, fmt.Errorf("%w: page %d has a wrong header", errDamaged, id)
	}
	for i := id; i <= last; i++ {
		if p.used[i] {
			return nil, fmt.Errorf("%w: page %d is used twice", errDamaged, i)
		}
		p.used[i] = true
	}
	page := make([]byte, (last-id+1)*p.size)
	if _, err := p.file.ReadAt(page, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	return page, nil
}

// tree follows a bucket's pages from its root down.
func (p *pages) tree(id uint64) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(page[8:]); flags {
	case branchPage:
		return p.branch(id, page)
	case leafPage:
		return p.leaf(id, page)
	default:
		return fmt.Errorf("%w: page %d is of no kind that belongs there", errDamaged, id)
	}
}

func (p *pages) branch(id uint64, page []byte) error {
	elements, err := elementsOf(id, page)
	if err != nil {
		return err
	}
	if len(elements) == 0 {
		return fmt.Errorf("%w: page %d leads nowhere", errDamaged, id)
	}
	for at := 0; at < len(elements); at += elementLen {
		e := elements[at:]
		pos, keySize := binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:])
		if uint64(pageHeader+at)+uint64(pos)+uint64(keySize) > uint64(len(page)) {
			return fmt.Errorf("%w: page %d points out of itself", errDamaged, id)
		}
		if err := p.tree(binary.NativeEndian.Uint64(e[8:])); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) leaf(id uint64, page []byte) error {
	elements, err := elementsOf(id, page)
	if err != nil {
		return err
	}
	for at := 0; at < len(elements); at += elementLen {
		e := elements[at:]
		key := uint64(pageHeader+at) + uint64(binary.NativeEndian.Uint32(e[4:]))
		value := key + uint64(binary.NativeEndian.Uint32(e[8:]))
		end := value + uint64(binary.NativeEndian.Uint32(e[12:]))
		if end > uint64(len(page)) {
			return fmt.Errorf("%w: page %d points out of itself", errDamaged, id)
		}
		if binary.NativeEndian.Uint32(e)&bucketLeaf == 0 {
			continue
		}
		if err := p.bucket(id, page[value:end]); err != nil {
			return err
		}
	}
	return nil
}

// bucket follows a bucket. Its header is a value in a leaf page. A large bucket
// has a root page. A small one has none: its only page follows the header.
func (p *pages) bucket(id uint64, value []byte) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("%w: page %d has a bucket without a header", errDamaged, id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return p.tree(root)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return fmt.Errorf("%w: page %d has a bucket that is none", errDamaged, id)
	}
	return p.leaf(id, inline)
}

// freelist checks that each page that is said to be free is in the file and not
// in use.
func (p *pages) freelist(id uint64) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	count, ids := uint64(binary.NativeEndian.Uint16(page[10:])), page[pageHeader:]
	if count == 0xFFFF { // too many for the header: the first element says
		count, ids = binary.NativeEndian.Uint64(ids), ids[8:]
	}
	if binary.NativeEndian.Uint16(page[8:]) != freelistPage || count > uint64(len(ids)/8) {
		return fmt.Errorf("%w: page %d is no freelist", errDamaged, id)
	}
	for i := range count {
		free := binary.NativeEndian.Uint64(ids[8*i:])
		if free >= p.highWater || p.used[free] {
			return fmt.Errorf("%w: page %d is called free and is not", errDamaged, free)
		}
		p.used[free] = true
	}
	return nil
}

// elementsOf returns the part of a page that its elements take.
func elementsOf(id uint64, page []byte) ([]byte, error) {
	end := pageHeader + elementLen*int(binary.NativeEndian.Uint16(page[10:]))
	if end > len(page) {
		return nil, fmt.Errorf("%w: page %d has more elements than room", errDamaged, id)
	}
	return page[pageHeader:end], nil
}
