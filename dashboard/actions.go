package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// actionPath is what stands before the name of an action.
const actionPath = "/api/actions/"

const (
	maxOrder   = 64 << 10 // bytes of the body of an action
	maxWorkers = 1000     // in a pool, by Resize
	maxDump    = 8 << 20  // bytes of stacks
)

// order is the body of an action: on what it is done.
type order struct {
	Worker string   `json:"worker"`
	Queue  string   `json:"queue"`
	Size   int      `json:"size"`
	IDs    []string `json:"ids"`
	All    bool     `json:"all"`
}

// outcome is the answer to an action that was done.
type outcome struct {
	Done   string `json:"done"`
	Stacks string `json:"stacks,omitempty"`
}

// allowed returns what who has sent a request may do.
func (p *page) allowed(r *http.Request) []Action {
	list := []Action{}
	for _, a := range actions {
		if p.cfg.Allow(r, a) {
			list = append(list, a)
		}
	}
	return list
}

// serveAction does something to the program, if that is allowed.
func (p *page) serveAction(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, actionPath)
	do, known := map[string]func(context.Context, *order) (*outcome, error){
		"retry": p.retry, "discard": p.discard, "pause": p.pause, "resume": p.resume, "resize": p.resize,
		"restart": p.restart, "kill": p.kill, "dump": p.dump,
	}[name]
	if !known {
		http.Error(w, fmt.Sprintf("dashboard: there is no action %q", brief(name, 50)), http.StatusNotFound)
		return
	}
	action := Action(name)
	if name == "resume" {
		action = Pause
	}
	if !p.cfg.Allow(r, action) {
		http.Error(
			w,
			fmt.Sprintf("dashboard: %q is not allowed here: see dashboard.Config.Allow", action),
			http.StatusForbidden,
		)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		http.Error(w, "dashboard: an action is sent as application/json", http.StatusUnsupportedMediaType)
		return
	}
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder)).Decode(&o); err != nil {
		http.Error(w, "dashboard: the body of the action: "+err.Error(), http.StatusBadRequest)
		return
	}
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.WriteTimeout > 0 {
		control := http.NewResponseController(w)
		// an action takes its time; where there are no deadlines, that of the server remains
		_ = control.SetWriteDeadline(time.Time{})
		defer func() { _ = control.SetWriteDeadline(time.Now().Add(server.WriteTimeout)) }() // likewise
	}
	done, err := do(r.Context(), &o)
	if err != nil {
		http.Error(w, brief(strings.TrimPrefix(err.Error(), "multiprolab: "), 2000), http.StatusUnprocessableEntity)
		return
	}
	answer(w, done)
}

// tasks returns the ids of the dead tasks that an order names; none of them means all.
func (o *order) tasks() (ids []uint64, err error) {
	if (len(o.IDs) > 0) == o.All {
		return nil, errors.New(`dashboard: an action on dead tasks has their "ids", or "all", and not both`)
	}
	if o.All {
		return nil, nil
	}
	for _, text := range o.IDs {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("dashboard: %q is no id of a task", brief(text, 50))
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (p *page) retry(_ context.Context, o *order) (*outcome, error) {
	ids, err := o.tasks()
	if err != nil {
		return nil, err
	}
	n, err := p.app.Tasks().RetryDead(ids...)
	if err == nil && n == 0 {
		err = errors.New("there is no such dead task any more")
	}
	return &outcome{Done: tasks(n) + " back in the queue"}, err
}

func (p *page) discard(_ context.Context, o *order) (*outcome, error) {
	ids, err := o.tasks()
	if err != nil {
		return nil, err
	}
	n := p.app.Tasks().DropDead(ids...)
	if n == 0 {
		return nil, errors.New("there is no such dead task any more")
	}
	return &outcome{Done: tasks(n) + " forgotten"}, nil
}

// tasks says a number of tasks.
func tasks(n int) string {
	if n == 1 {
		return "1 task is"
	}
	return fmt.Sprintf("%d tasks are", n)
}

func (p *page) pause(_ context.Context, o *order) (*outcome, error) {
	if o.Queue == "" {
		return nil, errors.New(`dashboard: this action has a "queue"`)
	}
	p.app.Tasks().Pause(o.Queue)
	return &outcome{Done: fmt.Sprintf("queue %s is paused", o.Queue)}, nil
}

func (p *page) resume(_ context.Context, o *order) (*outcome, error) {
	if o.Queue == "" {
		return nil, errors.New(`dashboard: this action has a "queue"`)
	}
	p.app.Tasks().Resume(o.Queue)
	return &outcome{Done: fmt.Sprintf("queue %s goes on", o.Queue)}, nil
}

func (p *page) resize(_ context.Context, o *order) (*outcome, error) {
	if o.Size > maxWorkers {
		return nil, fmt.Errorf("dashboard: a page does not make a pool of more than %d workers", maxWorkers)
	}
	return &outcome{Done: fmt.Sprintf("pool %s has %d workers", o.Worker, o.Size)}, p.app.Resize(o.Worker, o.Size)
}

// restart goes on if who has asked for it leaves: a pool is not to be left halfway.
func (p *page) restart(ctx context.Context, o *order) (*outcome, error) {
	if o.Worker == "" {
		return nil, errors.New(`dashboard: this action has a "worker"`)
	}
	return &outcome{Done: o.Worker + " has been replaced"}, p.app.Restart(context.WithoutCancel(ctx), o.Worker)
}

func (p *page) kill(_ context.Context, o *order) (*outcome, error) {
	return &outcome{Done: o.Worker + " has been killed"}, p.app.Kill(o.Worker)
}

func (p *page) dump(ctx context.Context, o *order) (*outcome, error) {
	text, err := p.app.Dump(ctx, o.Worker)
	return &outcome{Done: "the stacks of " + o.Worker, Stacks: brief(text, maxDump)}, err
}

// serveDead answers with the dead tasks.
func (p *page) serveDead(w http.ResponseWriter, _ *http.Request) {
	answer(w, bury(p.app.Tasks().Dead()))
}
