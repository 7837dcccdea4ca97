package batch

import (
	"cmp"
	"time"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

const (
	// workTime is how long a worker should be busy with one batch.
	workTime = 10 * time.Millisecond
	// maxItems is the greatest number of items in a batch.
	maxItems = 4096
	// MaxSize is the length in bytes from which a batch takes no further item.
	MaxSize = 64 << 10
	// defaultWindow is the window of a Map whose items are not short.
	defaultWindow = 64
	// maxWindow is the greatest window that a Map whose items are short gives itself.
	maxWindow = 16384
	// leastPart is how long a worker should be busy with a part of a batch that was cut.
	leastPart = time.Millisecond
	// MaxTook is the longest time that an item is taken to need. Items that take much less already
	// travel one by one, so a longer time would change nothing; and with this bound, what a worker
	// has claimed falsely is soon forgotten.
	MaxTook = time.Second
	// PartTime is how long an item may wait for further items of its batch while the sequence is
	// slow and a worker may have nothing to do.
	PartTime = time.Millisecond
)

// Pace decides how many items of a Map travel together, from how long they take. It exists in the
// process that ranges over the Map, and only the goroutine that ranges touches it.
type Pace struct {
	workers int           // how many workers there are for batches, or 0 if items travel one by one
	given   int           // the window that the user wants, or 0
	room    int           // for how many bytes of outcomes a worker has room
	window  int           // how many items may be taken from the sequence and not yielded
	size    int           // how many items the next batches have
	fits    int           // how many outcomes as large as the last ones fit into the room; at most maxItems
	took    time.Duration // a running mean of how long an item takes on a worker; 0 before the first measurement
}

// NewPace returns the pace of a Map of which nothing is known yet: batches of one item. The window
// is that of the user, or 0. A worker has room for as many bytes of outcomes as room says.
func NewPace(workers, window, room int) Pace {
	return Pace{
		workers: workers, given: window, room: room,
		window: cmp.Or(window, defaultWindow), size: 1, fits: maxItems,
	}
}

// Window returns how many items may be taken from the sequence and not yielded.
func (p *Pace) Window() int { return p.window }

// Full reports whether a batch of so many items and bytes is sent without waiting for more items.
func (p *Pace) Full(items, bytes int) bool { return items >= p.size || bytes >= MaxSize }

// Hungry reports whether some of the workers may have nothing to do, if so many batches were sent
// and have no outcome. While no worker is hungry, a batch waits until it is full.
func Hungry(sent, workers int) bool { return sent < 2*workers }

// Measure takes in how long a worker says that it was busy with so many items, and how many bytes
// the body of their outcomes has. The next batches are at most four times as large as the last.
func (p *Pace) Measure(took time.Duration, items, bytes int) {
	if p.workers == 0 || items <= 0 || bytes <= 0 || took <= 0 {
		return
	}
	each := min(max(1, took/time.Duration(items)), MaxTook)
	if p.took == 0 {
		p.took = each
	} else {
		p.took += (each - p.took) / 4
	}
	p.fits = min(max(1, p.room*items/bytes), maxItems)
	if ablate.Without(ablate.Pace) {
		p.size, p.window = 64, max(p.window, 64*(3*p.workers+1))
		return
	}
	// For each worker there is a batch that it works on, the next batch, and one that is being
	// taken in or yielded.
	share := cmp.Or(p.given, maxWindow) / (3 * p.workers)
	p.size = min(max(1, int(workTime/p.took)), max(1, share), 4*p.size, p.fits)
	if p.given == 0 && p.size > 1 {
		p.window = max(defaultWindow, min(maxWindow, p.size*(3*p.workers+1)))
	}
}

// Parts returns into how many parts the items that are left of a cut batch are divided: one for
// each worker, unless the parts would be too short then.
func (p *Pace) Parts(items int) int {
	if p.took == 0 {
		return p.workers
	}
	return min(p.workers, max(1, int(time.Duration(items)*p.took/leastPart)))
}
