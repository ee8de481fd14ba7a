// Package contexts keeps the files of contexts as blobs: chunks, packs and
// manifests. Package tree below makes directories of them and saves what changed
// there. Whose a context is, and when it is saved, is decided elsewhere.
//
// A state of a context is an immutable manifest: its entries in the order of
// their paths, cut into pages at places that the entries themselves determine,
// so that a change rewrites the pages it touches. File content is cut into
// chunks by what it says. Chunks and pages are named by their SHA-256
// hash, compressed, and put together into packs, which are the blobs. An
// [Index] remembers where each is. A [Root] names a manifest; it is the one
// thing that must be switched atomically, and this package never does that: it
// makes a new root, all of whose blobs are durable, and hands it out.
package contexts

import (
	"context"
	"encoding/hex"
	"io/fs"
	"time"

	"github.com/agentbay/agentbay"
)

// An ID is the hash of a chunk's content. The zero ID stands for no chunk: as
// part of a file it is a hole.
type ID [32]byte

// String returns the ID in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// A Root names a manifest. The zero Root is a context without files.
type Root ID

// String returns the Root in hexadecimal, or "" for the zero Root.
func (r Root) String() string {
	if r == (Root{}) {
		return ""
	}
	return ID(r).String()
}

// ParseRoot reads what [Root.String] wrote.
func ParseRoot(s string) (r Root, err error) {
	if s == "" {
		return r, nil
	}
	if n, err := hex.Decode(r[:], []byte(s[:min(len(s), 2*len(r))])); err != nil || n != len(r) || len(s) != 2*len(r) {
		return Root{}, agentbay.Errorf(agentbay.Internal, "%.80q is no root of a context", s)
	}
	return r, nil
}

// A Kind is what an entry is.
type Kind uint8

// The kinds. Devices, sockets and pipes are not kept.
const (
	File Kind = iota + 1
	Dir
	Symlink
)

// An Entry is a file, directory or symbolic link of a context.
//
// Paths have no leading slash and no ".", ".." or empty part; they are bytes,
// not text. /tmp/data/a is "tmp/data/a", and C:\Users\x is "C:/Users/x". A
// directory that only leads to others may have no entry.
type Entry struct {
	Path     string
	Kind     Kind
	Mode     fs.FileMode // permission bits, and setuid, setgid and sticky
	Modified time.Time
	Saved    time.Time // when it came into the context in this form
	Outside  bool      // it was put by URL, not saved by a session
	Packed   bool      // it is an archive that stands for the tree it is in
	Target   string    // of a Symlink
	Size     int64     // of a File
	Extents  []Extent  // of a File, in order
}

// An Extent is a part of a file: a chunk, or a hole of any size.
type Extent struct {
	Chunk ID
	Size  int64
}

// A Change is what happens to one path: it becomes Entry, or it is removed with
// all below it.
type Change struct {
	Path   string
	Entry  Entry // valid unless Remove
	Remove bool
}

// Totals are how much is in a context.
type Totals struct {
	Files int64 // files and links
	Bytes int64 // of the files
}

// An Index remembers where the chunks of one tenant are. Tenants share nothing.
type Index interface {
	// Find returns where chunks are, in the order asked for. What is unknown is
	// the zero Location.
	Find(ctx context.Context, ids []ID) ([]Location, error)

	// Add records a durable pack and the chunks in it. Chunks that are known
	// already stay where they are. The pack's Used is not looked at: Packs tells
	// how much of it is in the index.
	Add(ctx context.Context, pack Pack, chunks []Chunk) error

	// Packs lists the packs, with how much of each is chunks.
	Packs(ctx context.Context) ([]Pack, error)

	// Live starts a collection: it forgets what an earlier one marked.
	Live(ctx context.Context) error

	// Mark records chunks that are needed.
	Mark(ctx context.Context, ids []ID) error

	// Sweep forgets the chunks that are not marked and returns the packs that
	// are left with how much of each is needed; those with Used zero are
	// forgotten too.
	Sweep(ctx context.Context) ([]Pack, error)

	// Chunks lists the chunks that are in a pack.
	Chunks(ctx context.Context, pack string) ([]Chunk, error)

	// Move records that chunks, which are all of an old pack, are in another,
	// durable pack now, and forgets the old one. Several packs can move into one.
	Move(ctx context.Context, old string, pack Pack, chunks []Chunk) error
}

// A Location is where a chunk is.
type Location struct {
	Pack   string // the blob's name
	Offset int64
	Stored int64 // bytes in the pack
	Size   int64 // bytes of the chunk
}

// A Chunk is a chunk and where it is.
type Chunk struct {
	ID ID
	Location
}

// A Pack is a blob of chunks.
type Pack struct {
	Name string
	Size int64
	Used int64 // bytes of it that are chunks in the index
}
