package wechatsim_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/wxbroker/wxbroker/pkg/wechatsim"
)

func TestGeneratedBytesDependOnTheirPositionAlone(t *testing.T) {
	const size = 1 << 16
	whole, err := io.ReadAll(wechatsim.Generated("A", size))
	if err != nil || len(whole) != size {
		t.Fatalf("%d bytes, error %v", len(whole), err)
	}
	for _, at := range []struct{ off, n int64 }{{0, 1}, {1, 7}, {7, 2}, {8, 8}, {13, 1000}, {size - 3, 3}} {
		part := make([]byte, at.n)
		if _, err := wechatsim.Generated("A", size).ReadAt(part, at.off); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part, whole[at.off:at.off+at.n]) {
			t.Errorf("%d bytes at %d differ from the whole", at.n, at.off)
		}
	}
	if longer, err := io.ReadAll(io.LimitReader(wechatsim.Generated("A", 1<<40), size)); err != nil || !bytes.Equal(longer, whole) {
		t.Errorf("a longer file begins otherwise, error %v", err)
	}
	if other, err := io.ReadAll(wechatsim.Generated("B", size)); err != nil || bytes.Equal(other[:64], whole[:64]) {
		t.Errorf("another media has the same bytes, error %v", err)
	}
	seen := map[string]bool{}
	for off := 0; off+16 <= size; off += 16 {
		if block := string(whole[off : off+16]); seen[block] {
			t.Fatalf("block at %d was there before", off)
		} else {
			seen[block] = true
		}
	}
}
