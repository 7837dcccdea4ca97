//go:build solo

// With the build tag solo, and the tag of one peer, the command is another program: a main process
// with the workers of this peer and nothing else in the binary. What a binary imports costs each of
// its processes time at the start, and memory, so that these can be compared only between binaries
// that have nothing else. The program is asked like the peers in other languages: see protocol.go.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// soloPeer is what a solo program measures.
type soloPeer interface {
	caller
	pider
}

func main() {
	becomeWorker()
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve answers one request per line until the input ends.
func serve() error {
	var p soloPeer
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r request
		err := json.Unmarshal(in.Bytes(), &r)
		if err != nil {
			return err
		}
		a := new(answer)
		switch r.Op {
		case "first":
			p = newPeer(r.Kind)
			a, err = firstReply(p)
		case "crowd":
			p = newPeer(r.Kind)
			a, err = askCrowd(p, r)
		case "stop":
			err = p.stop()
			p = nil
		default:
			err = fmt.Errorf("no such op: %q", r.Op)
		}
		if err != nil {
			if p != nil {
				err = errors.Join(err, p.stop())
			}
			return err
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	if p != nil {
		return errors.Join(in.Err(), p.stop())
	}
	return in.Err()
}

// firstReply starts a worker, until its first reply.
func firstReply(p soloPeer) (*answer, error) {
	want := sampleItem(7)
	begin := time.Now()
	if err := p.start(1); err != nil {
		return nil, err
	}
	got, err := p.callItem(want)
	ns := int64(time.Since(begin))
	if err == nil && !got.equal(want) {
		err = fmt.Errorf("the item came back as %+v", got)
	}
	if err != nil {
		return nil, err
	}
	return &answer{Ns: ns, Pid: p.pid()}, nil
}

// askCrowd starts workers, until each has answered, and then asks all of them for the time of the
// budget.
func askCrowd(p soloPeer, r request) (*answer, error) {
	ask := func(k int) error {
		q, n := uint64(k+1), uint64(r.Workers)
		sum, err := p.(asker).ask(q)
		if want := n*q + n*(n-1)/2; err == nil && sum != want {
			err = fmt.Errorf("the sum of the answers is %d, it should be %d", sum, want)
		}
		return err
	}
	begin := time.Now()
	if err := p.start(r.Workers); err != nil {
		return nil, err
	}
	if err := ask(0); err != nil {
		return nil, err
	}
	ns := int64(time.Since(begin))
	t, err := times(time.Duration(r.Budget), ask, func(int) error { return nil })
	return &answer{Ns: ns, Times: t}, err
}
