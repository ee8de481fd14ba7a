// Package images holds the recipes of the official images, one folder each:
// image.json says what is in the image and how a session of it runs. Package
// image reads the recipes and builds them.
//
// Names that begin with a dot or an underscore are not part of a recipe, so
// that what an interpreter leaves beside a source does not change an image.
package images

import "embed"

// Recipes is every folder of an official image.
//
//go:embed base browser code linux
var Recipes embed.FS

// Elsewhere names images that agents ask for and that this release does not
// have, so that asking for one is told apart from a misspelling.
var Elsewhere = []string{
	"aio-ubuntu-2404",
	"mobile-use-android-12-gw",
	"mobile-use-android-14",
	"mobile_latest",
	"moltbot-linux-ubuntu-2204",
	"computer-use-ubuntu-2204-regionGW",
	"windows_latest",
}
