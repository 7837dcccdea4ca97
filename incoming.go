package multiprolab

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
)

// incoming is what a life of a worker has sent, in main, as far as it says what may come next and
// who waits for it. Who reads the wire alone may touch it.
type incoming struct {
	// allowed is what the worker may still send.
	allowed allowance
	// pushes are links to which something was posted, to be pushed before the next wait.
	pushes []*link.Link
	// lastServed is when a caller in main got its last reply.
	lastServed time.Time
	// served says that a caller in main has got its reply from the frame that is handled.
	served bool
}

// allowance is what a worker may still send of the frames that cost it no credit, because something
// before allows each of them. It exists in main; only who reads the worker's wire uses it.
type allowance struct {
	// cancels counts its calls and tasks, less those that it has cancelled.
	cancels uint64
	// fetchCancels counts its fetches, less those that it has taken back.
	fetchCancels uint64
	// retired says that it has asked to be replaced.
	retired bool
	// exited says that it has asked for the end of the program.
	exited bool
}

// pushAll pushes the links that pushSoon has noted.
func (i *incoming) pushAll() {
	for _, l := range i.pushes {
		l.Push()
	}
	i.pushes = i.pushes[:0]
}

// pushSoon makes receive push a link to which a frame of this worker was posted, when it has read
// all that it has.
func (i *incoming) pushSoon(l *link.Link) {
	if l != nil && !slices.Contains(i.pushes, l) {
		i.pushes = append(i.pushes, l)
	}
}
