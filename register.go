package multiprolab

import (
	"context"
	"fmt"
)

// RegisterWorker registers cfg.Count identical workers under a name. setup runs in each worker's
// process, and nothing else does: there it registers handlers and actions. Instances are named
// name/0, name/1 and so on. It panics if the name is empty, reserved, malformed or taken.
func (m *Main) RegisterWorker(name string, setup func(ctx context.Context, w *Worker) error, cfg *WorkerConfig) {
	site := callSite()
	if err := checkWorkerName(name); err != nil {
		registrationPanic("%v (%s)", err, site)
	}
	if setup == nil {
		registrationPanic("the setup function of worker %q is nil (%s)", name, site)
	}
	if old := m.pool(name); old != nil {
		registrationPanic(
			"worker %q is registered twice, at %s and at %s: choose another name, or use WorkerConfig.Count for "+
				"identical workers",
			name,
			old.site,
			site,
		)
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("worker %q is registered after Run or Start: register it before (%s)", name, site)
	}
	p := &pool{name: name, setup: setup, site: site}
	var err error
	if p.cfg, err = cfg.filled(); err != nil && m.err == nil {
		m.err = fmt.Errorf("worker %q (%s): %w", name, site, err)
	}
	m.pools = append(m.pools, p)
}
