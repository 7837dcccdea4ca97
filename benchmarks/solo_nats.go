//go:build solo && solo_nats

package main

func newPeer(string) soloPeer { return new(natsPeer) }
