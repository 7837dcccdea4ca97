package multiprolab

import "fmt"

// Kill kills the process of a worker at once, with all that it has started, and returns. The worker
// is an instance such as "thumbnailer/2", or a spare such as "thumbnailer/spare.0". What follows is
// what follows if the process dies by itself: a *WorkerFailed, an attempt that the task in hand has
// used up, a restart as WorkerConfig.Restart says, with its pauses and limits. Restart replaces a
// worker that has done nothing wrong. A worker that is goroutines, see Config.InProcess, loses its
// wire and goes on until it notices that. Kill returns an error if there is no such worker, if it
// has no process at the moment, before Run or Start, after the end, and in the process of a worker.
func (m *Main) Kill(worker string) error {
	if err := m.running(); err != nil {
		return err
	}
	if worker == MainName {
		return fmt.Errorf("multiprolab: Kill ends workers, and %q is the process that calls it: call Exit", worker)
	}
	s, stands, err := m.fleet.named(worker)
	if err != nil {
		return err
	}
	p := s.running()
	if p == nil {
		return fmt.Errorf("multiprolab: worker %s has no process that could be killed: it is %s", worker, stands)
	}
	go m.fleet.doomed(p.at.Load()) // ends when a spare has the tasks of the worker
	p.kill(killedByUser)
	return nil
}

// named returns an instance or a spare by its name, and how far it has come, or an error that says
// which there are.
func (w *workerFleet) named(worker string) (*slot, WorkerState, error) {
	s, stands := w.find(worker)
	switch {
	case s != nil:
		return s, stands, nil
	case w.registry.pool(worker) != nil:
		return nil, "", fmt.Errorf("multiprolab: %s is a pool: name one of its workers, such as %s", worker,
			instanceName(worker, 0))
	}
	return nil, "", &UnknownReceiverError{Receiver: worker, Known: w.names()}
}

// find returns an instance or a spare by its name, and how far it has come, or nil.
func (w *workerFleet) find(name string) (*slot, WorkerState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.everyone() {
		if s.name == name {
			at := w.rules.StateOf(s.id)
			return s, stateOf(&at)
		}
	}
	return nil, ""
}

// names returns the names of all instances and spares.
func (w *workerFleet) names() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.everyone() {
		names = append(names, s.name)
	}
	return names
}
