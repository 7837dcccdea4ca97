//go:build !solo

package main

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"os"
)

// gobMessage is a message of the bare pipe with gob: one encoder and one decoder at each end, which
// send the types once.
type gobMessage struct {
	Kind byte
	Item Item
}

// gobWorker is the life of a worker process that speaks gob.
func gobWorker() error {
	w := bufio.NewWriterSize(os.Stdout, pipeBufferSize)
	enc, dec := gob.NewEncoder(w), gob.NewDecoder(bufio.NewReaderSize(os.Stdin, pipeBufferSize))
	var seen Tally
	for {
		var m gobMessage
		err := dec.Decode(&m)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch m.Kind {
		case kindItem:
		case kindOneItem:
			seen.item(&m.Item)
			continue
		case kindMark:
			m.Item = Item{ID: seen.Messages, When: int64(seen.Sum)}
			seen = Tally{}
		}
		if err := errors.Join(enc.Encode(&m), w.Flush()); err != nil {
			return err
		}
	}
}

// gobPeer lives in main.
type gobPeer struct {
	title   string
	batched bool
	child   *child
	w       *bufio.Writer
	enc     *gob.Encoder
	dec     *gob.Decoder
}

func (p *gobPeer) name() string { return p.title }

func (p *gobPeer) start(int) (err error) {
	if p.child, err = startChild("gob"); err != nil {
		return err
	}
	p.w = bufio.NewWriterSize(p.child.in, pipeBufferSize)
	p.enc, p.dec = gob.NewEncoder(p.w), gob.NewDecoder(bufio.NewReaderSize(p.child.out, pipeBufferSize))
	return nil
}

func (p *gobPeer) stop() error { return p.child.stop() }
func (p *gobPeer) pid() int    { return p.child.cmd.Process.Pid }

func (p *gobPeer) call(m gobMessage) (Item, error) {
	if err := errors.Join(p.enc.Encode(&m), p.w.Flush()); err != nil {
		return Item{}, err
	}
	var r gobMessage
	err := p.dec.Decode(&r)
	return r.Item, err
}

func (p *gobPeer) callItem(i Item) (Item, error) { return p.call(gobMessage{kindItem, i}) }

func (p *gobPeer) callBytes([]byte) ([]byte, error) { return nil, errors.ErrUnsupported }

func (p *gobPeer) streamItems(n int) (Tally, error) {
	for k := range n {
		if err := p.enc.Encode(&gobMessage{kindOneItem, sampleItem(uint64(k))}); err != nil {
			return Tally{}, err
		}
		if !p.batched {
			if err := p.w.Flush(); err != nil {
				return Tally{}, err
			}
		}
	}
	i, err := p.call(gobMessage{Kind: kindMark})
	return Tally{i.ID, uint64(i.When)}, err
}

func (p *gobPeer) streamBytes(int, []byte) (Tally, error) { return Tally{}, errors.ErrUnsupported }

var _ = role("gob", gobWorker)
