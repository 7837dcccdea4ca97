//go:build !solo

package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Peers in other languages are programs with workers of their own. They take requests as lines of
// JSON, and take the times themselves.

//go:embed peer.py
var pythonSource string

//go:embed peer.js
var nodeSource string

// script is a peer program.
type script struct {
	title string
	kind  string                             // of worker; see the programs
	find  func(dir string) ([]string, error) // the command; dir is there for its files
	child *child
	lines *bufio.Reader
	dir   string
}

func python(title, kind string) *script {
	return &script{title: title, kind: kind, find: interpreted("python3", "peer.py", pythonSource)}
}

func node(title, kind string) *script {
	return &script{title: title, kind: kind, find: interpreted("node", "peer.js", nodeSource)}
}

// solo is a Go peer in a program of its own.
func solo(title, tag, kind string) *script {
	return &script{title: title, kind: kind, find: func(string) ([]string, error) {
		path, err := buildSolo(tag)
		return []string{path}, err
	}}
}

// interpreted finds an interpreter and writes the program to a file.
func interpreted(interpreter, name, source string) func(dir string) ([]string, error) {
	return func(dir string) ([]string, error) {
		path, err := exec.LookPath(interpreter)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is not installed", errAbsent, interpreter)
		}
		file := filepath.Join(dir, name)
		return []string{path, file}, os.WriteFile(file, []byte(source), 0o600)
	}
}

func (s *script) name() string { return s.title }

// launch starts the program, without workers.
func (s *script) launch() (err error) {
	if s.dir, err = os.MkdirTemp("", "multiprolab-bench-"); err != nil {
		return err
	}
	command, err := s.find(s.dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	if s.child, err = startCommand(cmd); err != nil {
		return err
	}
	s.lines = bufio.NewReader(s.child.out)
	return nil
}

func (s *script) start(workers int) error {
	if err := s.launch(); err != nil {
		return err
	}
	_, err := s.ask(request{Op: "start", Kind: s.kind, Workers: workers})
	return err
}

func (s *script) ask(r request) (*answer, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.child.in.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("its program: %w", err)
	}
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("its program has ended: %w", err)
	}
	a := new(answer)
	return a, json.Unmarshal(line, a)
}

func (s *script) stop() error {
	var err error
	if s.child != nil {
		err = s.child.stop()
		s.child = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
