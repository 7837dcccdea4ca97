package multiprolab

import "github.com/multiprolab/multiprolab/internal/goroutine"

// milestones are the events that happen once in the life of a Main. It exists in main. Each channel
// is closed when its event happens, and nothing is ever sent on it. Any goroutine may wait for it.
type milestones struct {
	// exitAsked is closed by the first request to exit.
	exitAsked chan struct{}
	// hurryAsked is closed by the first request to exit in another mode than DrainQueue.
	hurryAsked chan struct{}
	// killAsked is closed by the first request to exit in the mode KillAll.
	killAsked chan struct{}
	// allReady is closed when every instance has become ready once, or never will, if the end was
	// not requested before.
	allReady chan struct{}
	// workersGone is closed when no process of a worker is left.
	workersGone chan struct{}
	// loopEnded is closed when the loop of main has ended.
	loopEnded chan struct{}
	// ended is closed when nothing is left of the workers and of main's loop.
	ended chan struct{}
}

func newMilestones() milestones {
	return milestones{
		exitAsked:   make(chan struct{}),
		hurryAsked:  make(chan struct{}),
		killAsked:   make(chan struct{}),
		allReady:    make(chan struct{}),
		workersGone: make(chan struct{}),
		loopEnded:   make(chan struct{}),
		ended:       make(chan struct{}),
	}
}

// everyoneReady notes that every instance has become ready once, or never will. Without workers it
// is called at the start as well.
func (m *milestones) everyoneReady() {
	if !goroutine.Closed(m.allReady) {
		close(m.allReady)
	}
}

// everyoneGone notes that no process of a worker is left.
func (m *milestones) everyoneGone() { close(m.workersGone) }
