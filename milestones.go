package multiprolab

// milestones are what happens once in the life of a Main. Each channel is closed then, and never
// written to. Anybody may wait for it.
type milestones struct {
	// exitAsked is closed by the first exit.
	exitAsked chan struct{}
	// hurryAsked is closed by the first exit with another mode than DrainQueue.
	hurryAsked chan struct{}
	// killAsked is closed by the first exit with KillAll.
	killAsked chan struct{}
	// allReady is closed when every instance has become ready once, or never will, before the end
	// was asked for.
	allReady chan struct{}
	// readyTold is closed when the service manager has been told of allReady.
	readyTold chan struct{}
	// workersGone is closed when no process of a worker is left.
	workersGone chan struct{}
	// loopEnded is closed when the loop of main has ended.
	loopEnded chan struct{}
	// ended is closed when nothing is left.
	ended chan struct{}
}

func newMilestones() milestones {
	return milestones{
		exitAsked:   make(chan struct{}),
		hurryAsked:  make(chan struct{}),
		killAsked:   make(chan struct{}),
		allReady:    make(chan struct{}),
		readyTold:   make(chan struct{}),
		workersGone: make(chan struct{}),
		loopEnded:   make(chan struct{}),
		ended:       make(chan struct{}),
	}
}
