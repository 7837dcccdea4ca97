package multiprolab

import (
	"context"
	"fmt"
	"reflect"
)

// RegisterWorker registers cfg.Count identical workers under a name. setup runs in each worker's
// process, and nothing else does: there it registers handlers and actions. Instances are named
// name/0, name/1 and so on. It panics if the name is empty, reserved, malformed or taken, and after
// Hook, Run or Start.
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
	if m.hook != nil {
		registrationPanic(
			"worker %q is registered after Hook (%s): its process runs no further than Hook, and would not find it: "+
				"register it before (%s)",
			name,
			m.hook.site,
			site,
		)
	}
	p := &pool{name: name, setup: setup, site: site}
	var err error
	if p.cfg, err = cfg.filled(); err != nil && m.err == nil {
		m.err = fmt.Errorf("worker %q (%s): %w", name, site, err)
	}
	m.pools = append(m.pools, p)
}

// TaskDefaults sets what the options of a task of a type are that its submitter leaves zero:
// Timeout, Grace, Queue, Priority, Attempts and Retry, the last one as a whole. So a time limit
// that a submission forgets is there all the same. It holds for each submission, of main and of
// workers, and for the tasks of Map; NoTimeout, DefaultQueue, PriorityNormal, and Attempts of 1
// override a default. What is left zero here stays what TaskOptions says. A task that a Backend
// keeps has the options that it was submitted with.
//
// Main decides where a task goes and how often, perhaps before a worker for it is ready: so the
// defaults are set here, once for all pools that work on the type. Delay, Key and OnProgress
// belong to one task, and are an error here. TaskDefaults panics if the type is malformed or has
// defaults, or the program runs; Run and Start return the error of an option that makes no sense.
func (m *Main) TaskDefaults(typ string, o *TaskOptions) {
	site := callSite()
	if err := checkName("task type", typ); err != nil {
		registrationPanic("%v (%s)", err, site)
	}
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("TaskDefaults of task type %q is called after Run or Start: call it before (%s)", typ, site)
	}
	if old := m.defaults[typ]; old != nil {
		registrationPanic("task type %q has defaults twice, at %s and at %s: remove one", typ, old.site, site)
	}
	if err := o.checkDefaults(); err != nil && m.err == nil {
		m.err = fmt.Errorf("defaults of task type %q (%s): %w", typ, site, err)
	}
	m.defaults[typ] = &typeDefaults{o.travelling(""), site}
}

// RegisterError lets errors keep what they are when a handler returns them in another process. A
// sentinel, such as sql.ErrNoRows, is matched by errors.Is again; a type, given by any value of it,
// is found by errors.As with its exported fields; the errors in these cross as others do. Call it
// before Hook, Run or Start, so that main and workers do the same. Most of the standard library's
// need no registration: see RemoteError. All others arrive as the text of a RemoteError.
func (m *Main) RegisterError(errs ...error) {
	m.lifeMu.Lock()
	defer m.lifeMu.Unlock()
	if m.state != mainNew {
		registrationPanic("RegisterError is called after Run or Start: call it before (%s)", callSite())
	}
	for _, err := range errs {
		if err == nil {
			registrationPanic("RegisterError: an error is nil (%s)", callSite())
		}
		m.errors = append(m.errors, err)
	}
}

// warnOfErrors logs which registered errors cannot be sent. prepare calls it.
func (m *Main) warnOfErrors() {
	if m.hook != nil && m.hook.errors < len(m.errors) {
		m.cfg.Logger.Warn("multiprolab: RegisterError after Hook: the processes of the workers run no further than "+
			"Hook and do not know the error, which arrives as the text of a RemoteError: call RegisterError before",
			"type", reflect.TypeOf(m.errors[m.hook.errors]).String(), "hook", m.hook.site.String())
	}
	for known, why := range m.errors.Unsendable(m.codec) {
		m.cfg.Logger.Warn("multiprolab: RegisterError: errors.As will not find errors of this type, "+
			"for they cannot be sent; errors.Is finds the value itself",
			"type", reflect.TypeOf(known).String(), "error", brief(why))
	}
}
