package multiprolab

import (
	"io"
	"sync"
	"weak"

	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// fakeLives counts the lives of slots that tests begin without the rules of lives. It keeps no slot.
var fakeLives = struct {
	sync.Mutex
	of map[weak.Pointer[slot]]int
}{of: map[weak.Pointer[slot]]int{}}

// nextLife is the number of the next such life of a slot.
func nextLife(s *slot) int {
	fakeLives.Lock()
	defer fakeLives.Unlock()
	w := weak.Make(s)
	fakeLives.of[w]++
	return fakeLives.of[w]
}

// fakeBody is a process that is only its wire.
type fakeBody struct {
	ended  chan struct{}
	killed bool
	left   *fakeBox // or nil
}

func (b *fakeBody) PID() int               { return 7 }
func (b *fakeBody) Done() <-chan struct{}  { return b.ended }
func (b *fakeBody) Status() proc.Status    { return proc.Status{ExitCode: -1, Signal: "SIGKILL"} }
func (b *fakeBody) Terminate()             {}
func (b *fakeBody) Quit()                  {}
func (b *fakeBody) Kill()                  { b.killed = true }
func (b *fakeBody) Stopped() string        { return "" }
func (b *fakeBody) Raced(proc.Status) bool { return false }
func (b *fakeBody) Stderr() string         { return "" }
func (b *fakeBody) Tail() string           { return "" }
func (b *fakeBody) Close()                 {}
func (b *fakeBody) Box() *io.SectionReader {
	if b.left == nil {
		return nil
	}
	return io.NewSectionReader(b.left, 0, proc.BoxSize)
}

// fakeBox is a black box: a header, a part of the stream and the outcomes of a batch.
type fakeBox struct {
	header           [link.BoxHeader]byte
	stream, outcomes []byte
}

func (b *fakeBox) ReadAt(p []byte, at int64) (int, error) {
	for i := range p {
		switch n := int(at) + i; {
		case n < link.BoxHeader:
			p[i] = b.header[n]
		case n < link.BoxHeader+len(b.stream):
			p[i] = b.stream[n-link.BoxHeader]
		case n >= proc.BoxSize-link.NoteRoom && n < proc.BoxSize-link.NoteRoom+len(b.outcomes):
			p[i] = b.outcomes[n-proc.BoxSize+link.NoteRoom]
		default:
			p[i] = 0
		}
	}
	return len(p), nil
}
