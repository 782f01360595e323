"""All that the workbench says, in one place, ready for another language."""

TITLE = "Landmark workbench"

# Who may come in
NO_TOKEN = "This address lacks the token: open the one that the workbench printed when it started."
WRONG_HOST = "This name of the machine is not answered: use the address that the workbench printed when it started."
WRONG_ORIGIN = "The request comes from a page of another site: use the workbench's own pages."
SECRET = "Token or password"
SIGN_IN = "Sign in"

# Where the server is gone
RECONNECTING = "Trying to reconnect. If the workbench was started again, open the address that it printed."

# Pages
ANNOTATE, SHEET, SCORES, FILES, PROTOCOL = "Annotate", "Contact sheet", "Scores", "Files", "Protocol"
NAVIGATION = "Pages of the workbench"
DARK = "Dark or light"
HELP = "Keys and gestures"
CLOSE = "Close"

# The queue
QUEUE = "Images"
IMAGE, REASON = "Image", "State and reason"
ACCEPTED, STARTED, FOUND, NEW, BROKEN = "accepted", "started", "found", "new", "unreadable"
EMPTY = "There is no image in the folder {folder}: put radiographs there."
REASONS = {
    "swapped": "left and right may be swapped",
    "shape": "far from the shape of the others",
    "unlike": "unlike the templates",
    "error": "large expected error",
}
WORST = "{name} {error:.1f} {unit}"
EXPECTED = "expected error {error:.1f} {unit}"
SUGGEST = "Most useful"
SUGGEST_HINT = "Open the image whose annotation would help the other images most"
SUGGESTED = "{image} stands for more of the other images than any other one."
NONE_LEFT = "Every image is accepted."

# The view
RADIOGRAPH = "Radiograph {image}"
TEMPLATE_VIEW = "Template {image}"
FIT, INVERT, LENS, WINDOW, RULER = "Fit", "Invert", "Magnifier", "Window", "Ruler"
FIT_HINT = "Show the whole image (0)"
INVERT_HINT = "Swap black and white (i)"
LENS_HINT = "Magnify what is under the pointer (m)"
WINDOW_HINT = "Drag to change contrast and brightness (w, or drag with the right button)"
RULER_HINT = "Draw a line of known length, to say how large a pixel is"
PRESETS = {"Whole range": (0.5, 1.0), "Bone": (0.62, 0.5), "Soft tissue": (0.3, 0.45)}
PRESET = "Window preset"
BESIDE = "Template"
BESIDE_HINT = "Show an accepted image beside this one, with the same landmark marked"
FAILED = "The image cannot be shown: {message}"
LENGTH = "Length of the line in mm"
LENGTH_IS = "The line is {columns:.1f} pixels long."
SPACING_OF_OTHERS = "for all images, too, whose pixel size is not known or was set together with this one"
SET_SPACING = "Use it"
SPACING_SET = "Images whose pixels have this size now: {count}."

# Landmarks
LANDMARKS = "Landmarks"
STATES = {
    "open": "not placed",
    "proposed": "proposed",
    "placed": "placed",
    "uncertain": "uncertain",
    "absent": "absent",
    "not visible": "not visible",
}
LOCKED = "locked"
ABSENT, HIDDEN, UNCERTAIN, LOCK, CLEAR = "Absent", "Not visible", "Uncertain", "Lock", "Clear"
ABSENT_HINT = "The landmark is not there (a)"
HIDDEN_HINT = "The landmark is there but cannot be seen (v)"
UNCERTAIN_HINT = "Its place is uncertain (u)"
LOCK_HINT = "Keep it from being moved (l)"
CLEAR_HINT = "Take its place away (Delete)"
UNDO, REDO, NEXT = "Undo", "Redo", "Next"
NEXT_HINT = "Next landmark that is not placed (n)"
ACCEPT, ACCEPTED_ALREADY = "Accept", "Accepted"
ACCEPT_HINT = "Save the annotation, let it serve as a template, and find the others anew (Enter)"
SAVED, SAVING, UNSAVED = "saved", "saving", "not saved"
PLACED_OF = "{placed} of {count} placed"
OF_THEM = ", {proposed} proposed"
SERVES = "Serves as a template"
CONFLICT = "{image} was changed by another program or person meanwhile."
TAKE_THEIRS, KEEP_MINE = "Show theirs", "Keep mine"
SAVED_IMAGE = "{image} is accepted."

# Finding
FIND = "Find landmarks"
FIND_HINT = "Find the landmarks of this image (g)"
FIND_ALL = "Find all"
FIND_ALL_HINT = "Find the landmarks of all images that are not accepted, in the background"
PAUSE, RESUME, CANCEL = "Pause", "Go on", "Stop"
PHASES = {
    "idle": "",
    "learning": "learning from {total} images",
    "finding": "finding {done} of {total}",
}
PAUSED = "paused"
FOUND_IN = "Found in {seconds:.1f} s."

# Measurements
MEASUREMENTS = "Measurements"
NO_MEASUREMENTS = "The protocol names no measurements."
NORMAL = "{low} to {high}"
OUTSIDE = "outside the reference range"

# Contact sheet
SHEET_OF = "Landmark"
ORDER_HINT = "The images in which it is most doubtful come first. Drag a point, or confirm it where it is right."
CONFIRM, CONFIRMED = "Confirm", "confirmed"
CONFIRM_ALL = "Confirm all shown"
BEFORE, AFTER, NEXT_LANDMARK = "Previous", "Next", "Next landmark: {name}"
NOTHING_FOUND = "Nothing was found yet: accept an annotated image, and find all."

# Scores
SCORES_HINT = (
    "What had been found before an image was accepted, against what was accepted. Images that were accepted before "
    "anything was found have no score."
)
NO_SCORES = "No image was accepted that had been found before."
LANDMARK, MEAN, MEDIAN, LARGEST, WITHIN, COUNT = (
    "Landmark",
    "Mean",
    "Median",
    "Largest",
    "Within {radius} {unit}",
    "Images",
)
ALL = "All"
CURVE = "Estimated error by number of templates"
CURVE_HINT = (
    "What is expected of the images that nobody accepted, times the factor by which models of the other templates, "
    "held out in at most five parts, were off in each. Two and more templates have their estimate once there is one "
    "more."
)
NO_CURVE = "It is estimated once an image is accepted with all landmarks placed, and the others are found."
NO_TEMPLATE = "No other image is accepted yet."
TEMPLATES, ERROR = "Templates", "Estimated error"
READERS, READER = "Readers", "Reader"
READERS_HINT = "Distances between the points that two readers accepted in the same images."
ONE_READER = "There is one reader: start the workbench with --reader NAME for another one."
JOURNAL, WHEN, WHAT = "Changes", "Time (UTC)", "Change"

# Files
EXPORT = "Export"
EXPORT_HINT = "Files are written into {folder}, and can be downloaded together."
ONLY_ACCEPTED, ALL_KNOWN = "Accepted ones", "All with points"
WRITERS = {
    "csv": "Tables (CSV)",
    "markups": "3D Slicer (.mrk.json)",
    "json": "JSON",
    "coco": "COCO keypoints",
    "overlay": "Pictures",
    "sr": "DICOM SR",
    "report": "Report (HTML)",
    "model": "Model for run inference",
}
WRITE = "Write files"
WRITTEN = "{count} files were written into {folder}."
NOT_WRITTEN = "What could not be written, and why, stands in notes.csv."
DOWNLOAD = "Download as zip"
NOTHING_TO_EXPORT = "No image has points to export."
IMPORT = "Import"
IMPORT_HINT = (
    "Annotations of one image (.mrk.json, .json, .csv, LabelMe), whose file has the name of the image, or a table of "
    "many (.csv). They are imported as drafts: look at them, and accept them."
)
CHOOSE_FILES, OR_DROP = "Choose files", "or drag and drop"
NO_SUCH_FILE = "A file was not taken: choose files that end in {accept}, of at most {megabytes} MB."
IMPORTED = "Images imported as drafts: {count}."
NOT_IMPORTED = "{file}: {reason}"

# Protocol
CHOOSE = "What will you annotate?"
CHOOSE_HINT = "Choose a protocol, or write the names of the landmarks, one per line, in the order of placing."
NAMES = "Names of the landmarks"
USE_NAMES = "Use these names"
LOAD_PROTOCOL = "Load a protocol (.json)"
DEFINITION, ABBREVIATION = "Definition", "Abbreviation"
NO_PROTOCOL = "The study has no landmarks yet."
SAVED_PROTOCOL = "{count} landmarks are to be annotated."

# Keys
KEYS = (
    ("click", "place the next landmark"),
    ("drag a landmark", "move it"),
    ("drag elsewhere", "move the image; with the right button or Shift: contrast and brightness"),
    ("wheel, two fingers", "zoom at the pointer"),
    ("Space", "place the next landmark at the middle of the view"),
    ("arrows", "move the landmark by 1 pixel; Shift: 0.1; Alt: 10"),
    ("Page Up, Page Down", "previous and next landmark"),
    ("n", "next landmark that is not placed"),
    ("a, v, u, l", "absent, not visible, uncertain, locked"),
    ("Delete", "take the place away"),
    ("Ctrl+Z, Ctrl+Y", "undo, redo"),
    ("+, -, 0, f", "zoom, whole image, to the landmark (in the template, too)"),
    ("i, m, w, t", "invert, magnifier, window by dragging, names of the landmarks"),
    ("g", "find the landmarks of this image"),
    ("Enter", "accept"),
    ("j, k", "next and previous image of the list"),
)
