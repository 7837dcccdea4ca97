package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/sockets"
)

// roster knows the processes of the workers. The loop of main writes it, the attack reads it.
type roster struct {
	mu    sync.Mutex     // guards pids
	pids  map[string]int // the pid of each worker that is ready
	ready chan string    // the name of each worker that becomes ready; has room
}

// note is Config.OnEvent.
func (r *roster) note(e multiprolab.Event) {
	up, ok := e.(*multiprolab.WorkerReady)
	if !ok {
		return
	}
	if !*attack {
		log.Printf("%s is ready: version %s, life %d, child of %d", up.Worker, version, up.Life, os.Getpid())
	}
	r.mu.Lock()
	if r.pids == nil {
		r.pids = map[string]int{}
	}
	r.pids[up.Worker] = up.PID
	r.mu.Unlock()
	select {
	case r.ready <- up.Worker:
	default: // nobody has waited for a long time
	}
}

// kill ends the process of a worker with SIGKILL, and waits for its replacement.
func (r *roster) kill(worker string) error {
	for len(r.ready) > 0 {
		<-r.ready
	}
	r.mu.Lock()
	pid := r.pids[worker]
	r.mu.Unlock()
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := p.Kill(); err != nil {
		return fmt.Errorf("worker %s: %w", worker, err)
	}
	for {
		select {
		case name := <-r.ready:
			if name == worker {
				return nil
			}
		case <-time.After(time.Minute):
			return fmt.Errorf("worker %s does not come back", worker)
		}
	}
}

// outcome is what became of the requests of one phase.
type outcome struct {
	metrics vegeta.Metrics // of all requests
	refused int            // requests for which there was no connection
	errors  map[string]int // how often each error has come
}

// under runs do while vegeta asks at the rate. Half of the requests are POST, which no client sends
// twice, over new connections. Half are GET over connections that are kept: those a client sends
// again if the server has closed the idle connection in the same moment.
func under(url string, do func() error) (*outcome, error) {
	o := &outcome{errors: map[string]int{}}
	all := make(chan *vegeta.Result)
	var attackers []*vegeta.Attacker
	var attacks sync.WaitGroup
	stop := func() {
		for _, a := range attackers {
			a.Stop()
		}
	}
	defer stop() // also if a test ends in do
	for method, keep := range map[string]bool{"GET": true, "POST": false} {
		targeter := vegeta.NewStaticTargeter(vegeta.Target{Method: method, URL: url})
		attacker := vegeta.NewAttacker(vegeta.Timeout(30*time.Second), vegeta.KeepAlive(keep))
		attackers = append(attackers, attacker)
		results := attacker.Attack(targeter, vegeta.Rate{Freq: *rate, Per: 2 * time.Second}, 0, "prefork")
		attacks.Go(func() { // ends with the attack
			for r := range results {
				all <- r
			}
		})
	}
	gathered := make(chan struct{})
	go func() { // ends with the attacks
		defer close(gathered)
		for r := range all {
			o.metrics.Add(r)
			if r.Error != "" {
				o.errors[r.Error]++
			}
			if strings.Contains(r.Error, "refused") || strings.Contains(r.Error, "dial") {
				o.refused++
			}
		}
	}()
	err := do()
	stop()
	attacks.Wait()
	close(all)
	<-gathered
	o.metrics.Close()
	return o, err
}

// failed returns how many requests have failed.
func (o *outcome) failed() int {
	n := 0
	for _, times := range o.errors {
		n += times
	}
	return n
}

// print prints one line of the table.
func (o *outcome) print(phase string) {
	fmt.Printf("%-22s %8d %8d %8d %9.1f ms %9.1f ms\n", phase, o.metrics.Requests, o.failed(), o.refused,
		o.metrics.Latencies.P50.Seconds()*1000, o.metrics.Latencies.P99.Seconds()*1000)
	for text, times := range o.errors {
		fmt.Printf("    %d × %s\n", times, text)
	}
}

// siege attacks the server while its workers are restarted, and then while they are killed. No
// request may fail of a restart, and none may be refused of a kill.
func siege(ctx context.Context, app *multiprolab.Main, processes *roster) error {
	url := "http://" + sockets.Addr(app, "web").String() + "/"
	fmt.Printf("%-22s %8s %8s %8s %12s %12s\n", "", "requests", "failed", "refused", "p50", "p99")
	steady, err := under(url, func() error { time.Sleep(time.Second); return nil })
	steady.print("steady")
	if err != nil {
		return err
	}
	restarts, err := under(url, func() error {
		for range *rounds {
			if err := app.Restart(ctx, "web"); err != nil {
				return err
			}
		}
		return nil
	})
	restarts.print(fmt.Sprint(*rounds, " rolling restarts"))
	if err != nil {
		return err
	}
	kills, err := under(url, func() error {
		for i := range *rounds {
			if err := processes.kill(fmt.Sprint("web/", i%*workers)); err != nil {
				return err
			}
			time.Sleep(100 * time.Millisecond) // a busy day, not a massacre
		}
		return nil
	})
	kills.print(fmt.Sprint(*rounds, " × kill -9"))
	switch {
	case err != nil:
		return err
	case steady.failed() > 0 || restarts.failed() > 0:
		return errors.New("requests have failed although no worker was killed")
	case kills.refused > 0:
		return errors.New("connections were refused")
	}
	return nil
}

// quiet returns the log of the attack, in which the deaths of the workers are no news.
func quiet() *slog.Logger {
	if !*attack {
		return slog.Default()
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}
