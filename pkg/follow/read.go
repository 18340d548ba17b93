package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// File is what a file held when it was read.
type File struct {
	Bytes []byte
	// Exposed says that every user of the machine can read the file.
	Exposed bool
}

var (
	errEmpty      = errors.New("the file is empty")
	errNotRegular = errors.New("is not a regular file")
	errHangs      = errors.New("the file system does not answer")
)

// readTimeout bounds the reading of one file. A file system that takes longer,
// such as NFS whose server is gone, does not answer at all.
const readTimeout = 5 * time.Second

// hanging has the paths whose reading was given up and has not returned. Nobody
// can end such a reading: it holds a thread of the process until the file
// system answers. So no second one is begun.
var hanging sync.Map

// Read reads a regular file of at most limit bytes. An empty file is an error, since a
// file that is being written begins empty. Read never waits for a pipe's writer. It
// waits for a file system only until ctx ends or five seconds have passed.
func Read(ctx context.Context, path string, limit int64) (File, error) {
	return within(ctx, path, func() (File, error) { return read(path, limit) })
}

// within returns what read returns, unless that takes too long.
func within(ctx context.Context, path string, read func() (File, error)) (File, error) {
	if _, hangs := hanging.Load(path); hangs {
		return File{}, fmt.Errorf("%s: %w", path, errHangs)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, errHangs)
	defer cancel()
	type result struct {
		file File
		err  error
	}
	done := make(chan result, 1)
	go func() {
		file, err := read()
		done <- result{file, err}
		hanging.Delete(path)
	}()
	select {
	case r := <-done:
		return r.file, r.err
	case <-ctx.Done():
	}
	hanging.Store(path, nil)
	select {
	case r := <-done: // read returned at this very moment, maybe before the path was stored
		hanging.Delete(path)
		return r.file, r.err
	default:
		return File{}, fmt.Errorf("%s: %w", path, context.Cause(ctx))
	}
}

func read(path string, limit int64) (File, error) {
	// A file that is not regular is not even opened, as far as that can be known:
	// opening a device can have effects. A pipe may take the file's place after the
	// check. Without O_NONBLOCK, opening it would wait for a writer.
	info, err := os.Stat(path)
	switch {
	case err != nil && mayBeSecret(path):
		return File{}, hidePath(err)
	case err != nil:
		return File{}, err
	case !info.Mode().IsRegular():
		return File{}, fmt.Errorf("%s %w", path, errNotRegular)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	info, err = f.Stat()
	switch {
	case err != nil:
		return File{}, err
	case !info.Mode().IsRegular():
		return File{}, fmt.Errorf("%s %w", path, errNotRegular)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return File{}, err
	case len(content) == 0:
		return File{}, fmt.Errorf("%s: %w", path, errEmpty)
	case int64(len(content)) > limit:
		return File{}, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return File{content, info.Mode().Perm()&0o004 != 0}, nil
}
