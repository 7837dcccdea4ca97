package multiprolab

// Stderr returns the end of what the present life of a worker has printed to its standard error, of
// 64 KiB at most: what Config.Stderr has got of it, and the whole of what ended it. It is empty
// while the worker has no process, and with Config.InProcess, where main and the workers share
// theirs; of a life that has failed the error has it, WorkerDiedError.Stderr.
func (m *Main) Stderr(worker string) (string, error) {
	if e := m.outside(); e != nil {
		return "", e
	}
	for _, p := range m.pools {
		for _, s := range p.list() {
			if s.name != worker {
				continue
			}
			if life := s.running(); life != nil {
				return life.process.Tail(), nil
			}
			return "", nil
		}
	}
	return "", &UnknownReceiverError{Receiver: worker, Known: m.poolNames()}
}
