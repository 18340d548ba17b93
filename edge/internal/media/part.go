package media

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Part is a part of a file, in bytes.
type Part struct{ First, Length int64 }

// parseRange reads a Range header for a file of that size, according to RFC 9110 section
// 14. It returns nil, for the whole file, where the header has no range, several ranges
// or a broken one, and where the size is not known.
func parseRange(header string, size int64) (*Part, error) {
	unit, spec, ok := strings.Cut(header, "=")
	first, last, hasDash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !hasDash || size < 0 || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || strings.Contains(spec, ",") {
		return nil, nil
	}
	end := size - 1
	if first == "" { // the file's last bytes
		n, ok := position(last)
		switch {
		case !ok:
			return nil, nil
		case n == 0 || size == 0:
			return nil, outOfRange(size)
		}
		n = min(n, size)
		return &Part{size - n, n}, nil
	}
	from, ok := position(first)
	if !ok {
		return nil, nil
	}
	if last != "" {
		to, ok := position(last)
		if !ok || to < from {
			return nil, nil
		}
		end = min(end, to)
	}
	if from >= size {
		return nil, outOfRange(size)
	}
	return &Part{from, end - from + 1}, nil
}

// position reads a number of digits. A number that is too large for an int64 becomes the
// largest one, since both are beyond the end of every file.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 1<<63 - 1, true
	}
	return n, err == nil
}

func outOfRange(size int64) error {
	return fmt.Errorf("the file has %d bytes, so it does not have that range", size)
}

// maxSize is larger than every file, in bytes.
const maxSize = 1 << 50

// partIn returns the part in a Content-Range, and the size of the whole file, -1 if the
// header does not have it. The part is nil if it is not the one that was wanted.
func partIn(header, wanted string) (part *Part, size int64) {
	var first, last int64
	var total string
	if n, err := fmt.Sscanf(header, "bytes %d-%d/%s", &first, &last, &total); n != 3 || err != nil || first < 0 || last < first || last >= maxSize {
		return nil, -1
	}
	part, size = &Part{first, last - first + 1}, -1
	if total != "*" {
		n, ok := position(total)
		if !ok || n <= last || n > maxSize {
			return nil, -1
		}
		size = n
		if asked, err := parseRange(wanted, size); err != nil || asked == nil || *asked != *part {
			return nil, -1
		}
		return part, size
	}
	asked, err := parseRange(wanted, maxSize)
	if err != nil || asked == nil || strings.Contains(wanted, "=-") || asked.First != first || part.Length > asked.Length {
		return nil, -1
	}
	return part, size
}
