package multiprolab

import (
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/link"
)

// incoming is what main remembers of the frames that a life of a worker has sent: what may come
// next, and who has to be told when all has been read. It exists in main. Only the goroutine that
// reads the wire may touch it.
type incoming struct {
	// allowed is what the worker may still send without credit.
	allowed allowance
	// pushes are links to which frames were posted that have to be written before the reader waits
	// again.
	pushes []*link.Link
	// lastServed is when the latest reply came for a caller in main.
	lastServed time.Time
	// served says that the frame that is handled now was the reply for a caller in main who calls
	// again and again.
	served bool
}

// allowance is how many frames without a cost a worker may still send, because earlier frames allow
// each of them. It exists in main. Only the goroutine that reads the wire may touch it.
type allowance struct {
	// cancels is the number of its calls and tasks, less the number of those that it has cancelled.
	cancels uint64
	// fetchCancels is the number of its fetches, less the number of those that it has taken back.
	fetchCancels uint64
	// retired says that the worker has asked to be replaced.
	retired bool
	// left says that the worker has said that it leaves for good.
	left bool
	// exited says that the worker has asked for the end of the program.
	exited bool
}

// leave reports whether the worker may ask to be replaced or, with forGood, say that it leaves for
// good. It may do each once.
func (a *allowance) leave(forGood bool) bool {
	said := &a.retired
	if forGood {
		said = &a.left
	}
	if *said {
		return false
	}
	*said = true
	return true
}

// pushAll writes what was posted to the links that pushSoon has noted.
func (i *incoming) pushAll() {
	for _, l := range i.pushes {
		l.Push()
	}
	i.pushes = i.pushes[:0]
}

// pushSoon notes a link to which a frame was posted. receive pushes it once everything that has
// come from the worker is handled. The link may be nil.
func (i *incoming) pushSoon(l *link.Link) {
	if l != nil && !slices.Contains(i.pushes, l) {
		i.pushes = append(i.pushes, l)
	}
}

// callPause is the longest pause between two replies to calls of main after which the goroutine
// that reads the wire steps aside for the caller. A caller who makes a single call shall not hold
// up what the worker sends next.
const callPause = 200 * time.Microsecond
