// The types of this file live in the process that starts workers.

package proc

import "os"

// pipes are the six ends of a new worker's pipes. Main's ends are on the runtime's poller, so that
// Close and deadlines unblock a pending call; the worker's ends are in blocking mode, as every
// program expects of its standard files. The goroutine that starts the worker uses it.
type pipes struct {
	in, out, err    *os.File // main's ends, which whoever gets the Process has to close
	cin, cout, cerr *os.File // the worker's ends, which start closes
	box             *os.File // the shared memory, which whoever gets the Process has to close; or nil
}

// newPipes makes the three pipes.
func newPipes() (*pipes, error) {
	p := new(pipes)
	var err error
	if p.cin, p.in, err = wirePipe(false); err == nil {
		if p.out, p.cout, err = wirePipe(true); err == nil {
			p.err, p.cerr, err = wirePipe(true)
		}
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.box = newBox()
	return p, nil
}

// closeWorkers closes the worker's ends.
func (p *pipes) closeWorkers() { closeAll(p.cin, p.cout, p.cerr) }

// close closes all the ends that there are.
func (p *pipes) close() {
	p.closeWorkers()
	closeAll(p.in, p.out, p.err, p.box)
}

// closeAll closes the files that are not nil.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// start starts the process. On an error nothing is left open and nothing runs.
func start(spec *Spec, path string) (_ *Process, err error) {
	stdout, opened, err := spec.stdout()
	if err != nil {
		return nil, err
	}
	if opened {
		defer stdout.Close()
	}
	pipes, err := newPipes()
	if err != nil {
		return nil, err
	}
	// After the start the worker has its ends. If this process kept them open as well, nobody would
	// read the end of file.
	defer pipes.closeWorkers()
	handed, err := newHandover(spec.Handed)
	if err != nil {
		pipes.close()
		return nil, err
	}
	defer handed.close() // the worker has its own by then
	t, err := newTree(stdout)
	if err == nil {
		var p *Process
		if p, err = t.start(spec, path, pipes, stdout, handed); err == nil {
			return p, nil
		}
		t.close()
	}
	pipes.close()
	return nil, err
}

// start starts the process with the pipes, and with what it is handed besides.
func (t *tree) start(
	spec *Spec, path string, pipes *pipes, stdout *os.File, handed *handover,
) (*Process, error) {
	files := handed.place(t.files(pipes, stdout))
	proc, err := os.StartProcess(path, spec.args(), &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.environ(t.stdout(), pipes.box != nil, handed.named),
		Files: files,
		Sys:   handed.inherit(t.sysProcAttr(spec)),
	})
	if err != nil {
		return nil, err
	}
	if err := t.adopt(proc); err != nil {
		_ = proc.Kill()
		_, _ = proc.Wait()
		return nil, err
	}
	return &Process{
		Pid:  proc.Pid,
		In:   pipes.in,
		Out:  pipes.out,
		Err:  pipes.err,
		Box:  pipes.box,
		proc: proc,
		tree: t,
		done: make(chan struct{}),
	}, nil
}
