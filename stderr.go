package multiprolab

// Stderr returns the end of what the present life of a worker, or of a spare, has printed to its
// standard error, of 64 KiB at most: what Config.Stderr has got of it, and the whole of what ended
// it. It is empty while the worker has no process, and with Config.InProcess, where main and the
// workers share theirs; of a life that has failed the error has it, WorkerDiedError.Stderr. An
// error says that there is no such worker, or none yet, before Run or Start.
func (m *Main) Stderr(worker string) (string, error) {
	if e := m.outside(); e != nil {
		return "", e
	}
	if m.isNew() {
		return "", errNotStarted
	}
	s, _, err := m.fleet.named(worker)
	if err != nil {
		return "", err
	}
	if life := s.running(); life != nil {
		return life.process.Tail(), nil
	}
	return "", nil
}
