//go:build solo && solo_bare

package main

func newPeer(string) soloPeer { return new(barePeer) }
