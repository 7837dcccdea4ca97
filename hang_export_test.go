package multiprolab

// BeatOf returns the last sign of life of a worker's present process: what it was running, and
// something that differs from sign to sign, or nil if there was none.
func (m *Main) BeatOf(worker string) (running string, sign any) {
	for _, p := range m.pools {
		for _, s := range p.list() {
			if s.name != worker {
				continue
			}
			if p := s.running(); p != nil {
				if b := p.process.LastBeat(); b != nil {
					return b.Running, b
				}
			}
		}
	}
	return "", nil
}
