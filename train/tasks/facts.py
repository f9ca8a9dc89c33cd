"""Questions about ds4 itself: each fact has one answer and many ways to ask for it.

In the phrasings below "@" stands for the program (ds4, "this program", ...) and "#" for the small model (ds4-nano,
"the small model", ...); where the name is written out it is not replaced. A phrasing that begins with a small letter
is typed like that.

Two splits: TASKS are trained on, and of their questions one in ten by its surface form is held out, as everywhere. One
phrasing in ten is never trained on in any form: UNSEEN_TASKS asks with those.
"""
import re

from .common import Turn, is_held_out
from .phrasing import vary

PROGRAM = ("ds4", "ds4", "ds4", "ds4", "ds4", "DS4", "this program", "the program", "the ds4 engine", "the ds4 program",
           "this software", "this engine")
NANO = ("ds4-nano", "ds4-nano", "ds4-nano", "ds4 nano", "the small model", "the nano model", "the demo model",
        "the model ds4-nano", "the small ds4 model", "the bundled model")

# (topic, answer, phrasings)
FACTS = [
    # ---- the program -------------------------------------------------------------------------------------------
    ("what ds4 is", "ds4 is a C11 program that runs DeepSeek V4 models from a GGUF file on your own machine.", """
What is ds4?
What exactly is ds4?
What is this program?
What is @ about?
What does @ do?
What is @ for?
What is the purpose of @?
Explain what ds4 is.
Describe ds4 in one sentence.
Tell me about ds4.
Tell me what @ is.
What kind of program is ds4?
ds4?
What do people use @ for?
Give me a short description of ds4.
What can I do with ds4?
What does this tool do?
What is this tool?
What is this thing?
Summarise what @ does.
Can you summarise what @ does?
Introduce ds4.
what is this
ds4 meaning
I found @ on GitHub, what is it?
I just installed @ and do not know what it is.
Somebody told me about @, what is it?
Say in one line what @ is.
What have I just downloaded?
I have never heard of @.
What sort of software is this?
about this program
"""),
    ("who ds4 is for",
     "ds4 is for people who want to run DeepSeek V4 on their own machine and to read how it works.", """
Who is @ for?
Who should use @?
For whom is @ made?
Who is the audience of @?
What kind of people use @?
Who would want to use @?
Is @ for me?
Who are the users of @?
Target users of ds4?
Who uses @?
intended audience
I am a beginner, is @ meant for me?
Is @ meant for experts?
Would a student have any use for @?
Who needs @?
Was @ made for researchers or for users?
Whom do you recommend @ to?
Name the people that @ is made for.
Is @ for developers?
Is @ something for a hobby user?
"""),
    ("the licence of ds4", "ds4 is free software under the MIT licence.", """
What licence does @ use?
What is the licence of @?
Under which licence is @ released?
Which licence does @ have?
Is @ open source?
Is @ free software?
How is @ licensed?
ds4 licence?
Can I use @ in my own product?
May I use @ at work?
What are the licence terms of @?
Does @ have an open source licence?
Is @ free?
Does @ cost anything?
Is it allowed to copy and change @?
Can I use @ commercially?
Is commercial use of @ allowed?
Can a company use @?
licence
license?
MIT or GPL?
Is it GPL?
Do I have to pay for @?
How much does @ cost?
What does @ cost?
I want to sell a product with @ in it, may I?
Can I put @ into closed source software?
I'd like to change @ and share it, is that fine?
Name the licence of @.
Is @ proprietary?
Do I need to buy a licence for @?
"""),
    ("the language of ds4", "ds4 is written in C, following the C11 standard.", """
What language is @ written in?
In which programming language is @ written?
What programming language does @ use?
Which language is used for @?
Is @ written in C++?
Is @ written in C?
Is @ written in Rust?
Which C standard does @ follow?
Which version of C does @ use?
ds4 programming language?
What is @ coded in?
What is @ implemented in?
Which language do I need to know to change @?
programming language
Is it C or C++?
Which compiler standard does the source follow?
Do I need Rust to hack on @?
Is this a C++ project?
Is @ made with Go?
I know only JavaScript, is @ written in that?
What is the source code written in?
Name the language that @ is written in.
written in which language
"""),
    ("whether ds4 needs Python", "ds4 needs no Python at run time.", """
Does @ need Python?
Do I need Python to run @?
Is Python required for @?
Must I install Python for @?
Does @ use Python at run time?
Is there any Python in @?
Can I run @ without Python?
Does @ depend on Python?
Is @ a Python program?
python needed?
Is PyTorch needed to run @?
Do I need pip for @?
python required?
ds4 without python
I have no Python on my machine, is that a problem?
I do not want to install Python.
Do I have to set up conda for @?
Will @ work if there is no Python?
Does @ call Python somewhere?
Do I need a virtual environment for @?
Must PyTorch be installed?
Does running @ involve Python?
"""),
    ("the version of ds4", "This is ds4 version 0.1.0.", """
What version of ds4 is this?
Which version of @ is this?
What is the version of @?
What is the current version of @?
Which ds4 version do I have?
ds4 version?
What is the version number of @?
How old is this version of @?
Which release of @ is this?
What release of ds4 am I using?
version
version number
Which version am I running?
Is this the newest version of @?
Is @ 1.0 yet?
Tell me the version of @.
What release number does @ have?
I need the version of @ for a bug report.
Is @ already at version 1?
Say your ds4 version.
"""),
    ("the authors of ds4", "ds4 is made by the ds4 authors.", """
Who made @?
Who wrote @?
Who created @?
Who develops @?
Who are the authors of @?
Who is the author of @?
Who is behind @?
Who built @?
Who holds the copyright of @?
Who owns @?
author
ds4 authors
Who do I thank for @?
Whose project is @?
Who is responsible for @?
Who programmed @?
Which people made @?
Is @ made by a company?
Did DeepSeek write @?
Name the makers of @.
Who maintains @?
"""),
    ("the model that ds4 runs", "ds4 runs DeepSeek V4 Flash and other models of the DeepSeek V4 architecture.", """
Which model does @ run?
What model does @ run?
Which models can @ run?
Which models does @ support?
What models are supported by @?
What models work with @?
Which language model is @ made for?
Which model is @ built for?
What model family does @ support?
Which architecture does @ support?
Supported models of ds4?
What LLM does @ run?
Does @ run DeepSeek?
supported models
which models
I have a DeepSeek V4 file, can @ run it?
Is @ able to run DeepSeek V4?
Will @ load V4 Flash?
Tell me which models I can run.
What is the target model of @?
What can I load into @?
Does @ work with V4 Pro?
For which model was @ written?
Name a model that @ runs.
"""),
    ("other model families", "No, ds4 runs only models of the DeepSeek V4 architecture.", """
Can @ run Llama?
Can @ run Llama models?
Does @ support Qwen?
Can I use Mistral with @?
Does @ run any GGUF model?
Can @ run other models than DeepSeek V4?
Does @ support Gemma?
Will @ run GPT models?
Can I load a Llama file in @?
Does @ run models of other families?
Can @ run DeepSeek V3?
llama support
I have a Llama 3 GGUF, will it load?
My Qwen file does not load.
Can it run Mistral?
I want to run Gemma with @.
Would Phi work in @?
gpt-oss with ds4?
Is any GGUF from Hugging Face good for @?
Can I open a Mixtral model?
Why does my Llama model not load?
Are models other than DeepSeek supported?
"""),
    ("llama.cpp and others",
     "ds4 is made for the DeepSeek V4 architecture only; programs such as llama.cpp run models of many families.", """
How does @ differ from llama.cpp?
What is the difference between @ and llama.cpp?
What is the difference between @ and Ollama?
How is @ different from Ollama?
Is @ better than llama.cpp?
Is @ better than Ollama?
Is @ like Ollama?
Is @ like llama.cpp?
Why should I use @ and not llama.cpp?
Is @ a replacement for llama.cpp?
ds4 or llama.cpp?
How does @ compare with vLLM?
ds4 vs llama.cpp
ollama vs ds4
llama.cpp or ds4, which should I take?
I already have Ollama, why would I want @?
What does @ do that llama.cpp does not?
I know llama.cpp, what is different here?
Is @ a fork of llama.cpp?
Is @ based on llama.cpp?
Compare @ with llama.cpp.
Does @ replace Ollama?
Should I switch from Ollama to @?
"""),
    ("Python programs", "ds4 has no Python bindings; it has a C library and a command line.", """
Can I use @ from Python?
Does @ have Python bindings?
Is there a Python package of @?
Can I import @ in Python?
Can I pip install @?
Is there a Python API for @?
How do I call @ from Python?
Are there bindings for other languages?
python bindings
python api
I want to call @ from my Python script.
pip install ds4
Is there a pip package?
Can my Python code load @?
Is there a wrapper for Python?
I write Python, can I use @ as a module?
Are there Rust bindings for @?
Is there a Node package of @?
"""),
    ("what DeepSeek is", "DeepSeek is the company that made the DeepSeek V4 models.", """
What is DeepSeek?
Who is DeepSeek?
Who made DeepSeek V4 Flash?
Who made the DeepSeek V4 models?
Which company made DeepSeek V4?
Who trained DeepSeek V4 Flash?
From which company is DeepSeek V4 Flash?
deepseek
Who is behind the V4 models?
Tell me who DeepSeek is.
Is DeepSeek a company?
Whose model is DeepSeek V4?
Where does V4 Flash come from?
Name the company that made V4 Flash.
Who released DeepSeek V4?
Is DeepSeek V4 made by you?
By whom was DeepSeek V4 Flash trained?
"""),
    ("images", "No, ds4 works with text only.", """
Can @ read images?
Does @ support images?
Can @ process pictures?
Can @ make pictures?
Does @ understand audio?
Can @ hear me speak?
Is @ multimodal?
Can @ look at a photo?
Does @ work with video?
Can I give @ an image?
image input
pictures?
I want to show you a photo.
Can I upload a picture?
Does it support vision?
Will @ describe a screenshot?
Can I send a PDF scan as an image?
voice input?
Can I talk to @ with a microphone?
Does @ generate images?
Text only or images too?
"""),
    ("the size of DeepSeek V4 Flash", "DeepSeek V4 Flash has 284 billion parameters in total.", """
How many parameters does DeepSeek V4 Flash have?
How many parameters has V4 Flash?
How big is DeepSeek V4 Flash?
How large is DeepSeek V4 Flash?
What is the total number of parameters of V4 Flash?
What is the parameter count of DeepSeek V4 Flash?
How many billion parameters does DeepSeek V4 Flash have?
Total parameters of DeepSeek V4 Flash?
How many weights are in DeepSeek V4 Flash?
What is the size of V4 Flash in parameters?
DeepSeek V4 Flash parameters?
parameter count of V4 Flash
V4 Flash size in parameters
284B?
How many billions of parameters are in V4 Flash?
Is V4 Flash a big model?
How big is the real model in parameters?
What is the total parameter number of the big model?
Tell me how many parameters V4 Flash has in all.
How many parameters does the big model have?
Say how large DeepSeek V4 Flash is.
"""),
    ("the active parameters", "DeepSeek V4 Flash uses 13 billion of its parameters for each token.", """
How many active parameters does DeepSeek V4 Flash have?
How many parameters are active per token?
How many parameters are active in V4 Flash?
How many parameters does V4 Flash use for each token?
How many parameters work on one token?
What is the number of active parameters?
Active parameters of V4 Flash?
How many billion parameters are active at once?
How many of its parameters does DeepSeek V4 Flash use for a token?
Are all parameters of V4 Flash used for every token?
How much of V4 Flash is active?
active parameters
13B active?
How many parameters does one token touch?
What part of V4 Flash runs for each token?
How many weights are used per token in V4 Flash?
Tell me how many parameters are active.
Does each token use the whole model?
What does A13B mean?
number of active parameters of the big model
How many parameters does the model activate?
"""),
    ("the context of DeepSeek V4 Flash", "DeepSeek V4 Flash has a context of one million tokens.", """
What is the context length of DeepSeek V4 Flash?
How long is the context of DeepSeek V4 Flash?
How many tokens fit in the context of V4 Flash?
How large is the context window of DeepSeek V4 Flash?
What is the context size of V4 Flash?
What is the longest context of DeepSeek V4 Flash?
How many tokens can V4 Flash read at once?
What is the maximum context of DeepSeek V4 Flash?
How long can a prompt for DeepSeek V4 Flash be?
V4 Flash context length?
How much text can DeepSeek V4 Flash take?
V4 Flash context window
context of the big model
Does V4 Flash really take a million tokens?
Can the big model read a whole book?
How much text fits into V4 Flash?
What context does the real model have?
Is there a limit on the prompt of V4 Flash?
How many tokens can the big model take?
Tell me the maximum context of V4 Flash.
1M context?
"""),
    ("the file format", "ds4 loads models from GGUF files.", """
What file format does @ use?
Which file format does @ load?
In what format are the model files?
Which model file format does @ read?
What kind of model files does @ need?
What format must a model have for @?
Does @ read safetensors?
Can @ load safetensors files?
Does @ use GGUF?
What type of file is a ds4 model?
Model file format of ds4?
Which model files can @ open?
model format
which file type
I have a safetensors file, can I use it?
I have a .pt file, does it work?
Can @ open .bin files?
Must the model be a GGUF?
Will @ take ONNX?
What extension do the model files have?
Which format should I download?
Tell me the format of the models.
Do I have to convert the model to GGUF?
"""),
    ("what GGUF is", "GGUF is a file format that holds a model's metadata, vocabulary and weights in one file.", """
What is GGUF?
What is a GGUF file?
What does a GGUF file contain?
What is in a GGUF file?
Explain GGUF.
Explain the GGUF format.
Tell me what GGUF is.
What is GGUF good for?
What is inside a GGUF model?
Describe the GGUF format.
gguf
gguf meaning
gguf?
What does GGUF stand for?
I do not know what a GGUF is.
What are GGUF files?
Is GGUF a file format?
Say what GGUF means.
What does the ending .gguf mean?
What do you keep in a GGUF file?
"""),
    ("the size of the q2 file", "The q2 file of DeepSeek V4 Flash has about 81 GiB, which is 87 GB.", """
How big is the q2 file?
How large is the q2 model file?
How big is the q2 model?
What is the size of the q2 file?
How many gigabytes is q2?
How many GB does the q2 file have?
How much disk space does q2 need?
How much space does the q2 file take?
Size of q2?
How big is the two-bit file?
How many bytes is the q2 file?
How much must I download for q2?
q2 size
q2 disk space
q2 file size in GB
How long is the q2 download in GB?
How much do I have to download for the small real model?
I have 100 GB free, does q2 fit on my disk?
Will q2 fit on a 128 GB disk?
How heavy is the q2 file?
Tell me the size of q2.
How much space on my SSD does q2 take?
"""),
    ("the size of the q4 file", "The q4 file of DeepSeek V4 Flash has about 153 GiB, which is 165 GB.", """
How big is the q4 file?
How large is the q4 model file?
How big is the q4 model?
What is the size of the q4 file?
How many gigabytes is q4?
How many GB does the q4 file have?
How much disk space does q4 need?
How much space does the q4 file take?
Size of q4?
How big is the four-bit file?
How many bytes is the q4 file?
How much must I download for q4?
q4 size
q4 disk space
q4 file size in GB
How many GB is the q4 download?
I have 200 GB free, does q4 fit on my disk?
Does q4 fit on a 256 GB SSD?
How heavy is the q4 file?
Tell me the size of q4.
How much bigger is q4?
How much space on my SSD does q4 take?
"""),
    ("the memory for q2", "A machine with 96 GB of memory or more is needed for the q2 file.", """
How much memory does q2 need?
How much RAM do I need for the q2 file?
How much RAM does the q2 model need?
What machine do I need for q2?
Which machine can run the q2 file?
Can I run q2 with 64 GB of memory?
How much memory must my machine have for DeepSeek V4 Flash q2?
Is 96 GB enough for q2?
How much RAM do I need for the real model?
How much memory does the big model need?
How much memory do I need for DeepSeek V4 Flash?
Which computer do I need for the big model?
RAM for q2?
How many GB of RAM for the q2 model?
What hardware does the q2 file need?
Will q2 run on my laptop?
q2 memory
q2 ram
memory requirements
ram needed
system requirements
hardware requirements
I only have 64 GB, will it run?
I have 32 GB of RAM, can I run the big model?
Is 16 GB enough?
Is 128 GB enough for the big model?
My machine has 96 GB, is that enough?
Will the real model fit into 64 GB?
What kind of machine should I buy for DeepSeek V4?
Minimum RAM for the big model?
Can my laptop run the big model?
The big model does not fit into my memory.
"""),
    ("the kinds of files", "The published files of DeepSeek V4 Flash are q2, q4 and mixed ones of both.", """
Which files of DeepSeek V4 Flash can @ load?
Which model files are published?
Which quantised files are there?
What quantisations of V4 Flash are there?
Which sizes of DeepSeek V4 Flash exist?
What variants of the model file are there?
Which versions of the V4 Flash file are published?
What are the names of the published files?
Are there other files than q2?
Which quantised versions does @ load?
available files
which quantisations exist
q2 or q4?
Is there a q8 file?
Is there a q3 file?
Tell me which files are published.
What choices of model files do I have?
In which sizes can I get V4 Flash?
Are there smaller files than q4?
published quantised files
"""),
    ("where the files come from",
     "The files of DeepSeek V4 Flash are in the repository antirez/deepseek-v4-gguf on Hugging Face.", """
Where can I get the model file?
Where do I find the model files?
Where can I download DeepSeek V4 Flash?
Where do I get a GGUF of V4 Flash?
Where do I get the big model?
Where can I download the model?
From where do I get DeepSeek V4 Flash for ds4?
Which repository has the model files?
In which repository are the q2 and q4 files?
Where are the model files published?
Download link of the model?
Where is the real model?
How do I get the model file?
download
download model
model download link
where to get the model
I need a model file, where is it?
I have no GGUF yet, where do I get one?
Which Hugging Face repository has the model?
Hugging Face link?
Where on Hugging Face is the model?
Give me the download link of DeepSeek V4 Flash.
Where do you get the weights from?
I cannot find the model file on the web.
Who hosts the q2 file?
"""),
    ("the tensor types", "ds4 reads F32, F16, BF16, Q4_0, Q8_0, Q2_K, Q4_K, Q5_K, Q6_K, IQ2_XXS and MXFP4 tensors.", """
Which tensor types does @ support?
Which quantisation formats does @ support?
Which quantisation types can @ read?
What block formats does @ know?
What quant formats are supported by @?
Which quants work with @?
Which number formats can the weights have?
Does @ support Q4_K?
Does @ support MXFP4?
Can @ read IQ2_XXS tensors?
Supported quantisations?
What data types can tensors have in @?
supported quants
tensor types
Can it read Q5_K?
Is Q6_K supported?
Will a BF16 file work?
Does it handle Q8_0?
Which quantised tensors can the program load?
Does Q3_K work?
Is FP8 a supported tensor type?
List the tensor types of @.
My file has an unknown tensor type.
"""),
    ("the formats in the q2 file", "In the q2 file the experts are IQ2_XXS and Q2_K, and the attention is Q8_0.", """
Which quantisation does the q2 file use?
How is the q2 file quantised?
Which formats are used in q2?
What types do the experts have in the q2 file?
What is quantised in q2?
What is inside the q2 file?
Which tensor types are in the q2 file?
What does q2 mean?
How are the experts stored in q2?
What precision does q2 have?
"""),
    ("the formats in the q4 file", "In the q4 file the experts are Q4_K, and the attention is Q8_0.", """
Which quantisation does the q4 file use?
How is the q4 file quantised?
Which formats are used in q4?
What types do the experts have in the q4 file?
What is quantised in q4?
What is inside the q4 file?
Which tensor types are in the q4 file?
What does q4 mean?
How are the experts stored in q4?
What precision does q4 have?
"""),
    # ---- platforms ---------------------------------------------------------------------------------------------
    ("the platforms of ds4", "ds4 is made for Linux and macOS.", """
Which platforms does @ support?
Which operating systems does @ run on?
What operating systems are supported by @?
On which systems does @ run?
On what systems can I use @?
Does @ run on Linux?
Does @ work on Ubuntu?
Which platforms can I use @ on?
Platforms of ds4?
Which OS do I need for @?
What systems is @ made for?
Does @ run on Debian?
platforms
operating systems
linux or mac?
Can I use Fedora?
Does it work on Arch Linux?
Will it run on my Linux server?
Is Linux enough?
On what OS can I run this?
Does it run on FreeBSD?
Tell me which systems @ is for.
Is it Linux only?
"""),
    ("Windows", "No, there is no ds4 for Windows; it is made for Linux and macOS.", """
Does @ run on Windows?
Is there a Windows version of @?
Can I use @ on Windows?
Does @ work under Windows?
Is Windows supported by @?
Can I build @ on Windows?
Is there an exe of @?
Windows support?
Can I install @ on my Windows PC?
Does @ support Windows 11?
windows
windows version
I have a Windows laptop, can I use @?
I am on Windows, what do I do?
Will it run on Windows 10?
Does it work in WSL?
Is a Windows port planned?
Where is ds4.exe?
I only have Windows.
Can I get @ for my Windows machine?
"""),
    ("ds4 on a Mac", "ds4 is written to build on macOS with Homebrew, but this has not yet been run on a Mac.", """
Does @ run on a Mac?
Does @ work on macOS?
Can I use @ on my MacBook?
How do I get @ running on my Mac?
Can I run @ on my Mac mini?
Can I build @ on a Mac?
How do I build @ on macOS?
Is macOS supported by @?
Has @ been tested on a Mac?
Does @ work on Apple computers?
What do I need to build @ on a Mac?
Mac support?
mac
macos
macbook support
I have a Mac Studio, can I use @?
I own a MacBook Pro, will @ run?
Does it build on an M3?
Is there a version for macOS?
Will it work on my iMac?
Do I need Homebrew?
Did anybody try @ on a Mac?
M4 Max support?
"""),
    ("Apple Metal",
     "ds4 has a Metal backend for Apple GPUs, chosen with --backend metal; it has not yet been run on a Mac.", """
Does @ support Apple Metal?
Does @ use Metal?
Is there a Metal backend?
Does @ use the GPU of a Mac?
Does @ run on the Apple GPU?
Can @ use Metal?
Which GPU will @ support first?
What is the first GPU target of @?
Is Metal supported?
When will @ support Metal?
Does @ run on Apple silicon GPUs?
Metal support?
metal
metal backend
apple gpu
Will my M2 GPU be used?
Is the GPU of my MacBook used?
I want to use Metal.
Does it run on the GPU of an M4?
Is Metal done yet?
Where is the Metal backend?
Are Apple GPUs supported?
"""),
    ("NVIDIA", "Not yet: NVIDIA GPUs are planned for ds4 with the same kernels as Metal.", """
Does @ support NVIDIA?
Does @ run on NVIDIA GPUs?
Does @ use CUDA?
Is there a CUDA backend?
Can @ use my NVIDIA card?
Is CUDA supported?
Will @ run on NVIDIA GPUs?
Can I run @ on an H100?
Can I use my GeForce with @?
Does @ work with my RTX 4090?
Can I use @ with an RTX 3090?
Will @ use my graphics card from NVIDIA?
NVIDIA support?
nvidia
cuda
cuda support
I have an RTX 4090, can I use it?
I own an NVIDIA card, is it used?
Does it run on an A100?
My NVIDIA GPU is idle, why?
Will my GeForce be used?
Are NVIDIA GPUs planned?
When does CUDA come?
Can it use two NVIDIA cards?
"""),
    ("the CPU backend",
     "ds4 computes on the CPU by default, with activations rounded to 8 bits; --exact makes it use float32.", """
Does @ run on the CPU?
What does @ compute on?
Does @ need a GPU?
Do I need a GPU for @?
Can I run @ without a graphics card?
Which hardware does @ compute on today?
Is the CPU enough for @?
What does the CPU backend do?
How precise is the CPU backend?
In what precision does @ compute?
Does @ work without a GPU?
Can @ use the GPU?
Does @ use my graphics card?
Is there GPU support in @?
Which arithmetic does the CPU path use?
gpu
cpu only?
no graphics card
I have no GPU, does it work?
My GPU is not used.
Is the GPU used?
Does it run on the processor only?
What hardware does the computation run on?
Is everything computed in float32?
gpu support
Which precision does the CPU path have?
"""),
    ("the speed of ds4",
     "On the CPU ds4 reads weights about as fast as the memory allows; ds4 bench measures the tokens per second.", """
Is @ fast?
How fast is @?
What is the speed of @?
Why is @ slow?
Why is the big model so slow in @?
Is the CPU path fast?
Will @ become faster?
How many tokens per second does @ make?
Speed of ds4?
Is there a fast CPU path?
When will @ be fast?
speed
tokens per second
performance
It is very slow.
Why does it take so long?
The big model takes forever.
The answer comes so slowly, why?
How quick is it?
Can I make it faster?
I expected it to be faster.
Is it usable with the big model?
How long does an answer of the big model take?
"""),
    # ---- building ----------------------------------------------------------------------------------------------
    ("building ds4", "Run make; it builds build/ds4 and the library build/libds4.a.", """
How do I build @?
How can I compile @?
How is @ built?
How do I compile @?
What is the command to build @?
What do I type to build @?
What does make do?
What does make build?
How do I make @?
How do I install @?
Build instructions for ds4?
Explain how to build @.
How do I get the binary?
build
compile
install
installation
how to install
make
install ds4
build instructions
I cloned the repository, what now?
I downloaded the source, how do I get a program?
Which command compiles it?
What do I type to compile?
Is there an installer?
Is there a prebuilt binary?
Tell me how to compile @.
Get me from source to binary.
I want to install @.
"""),
    ("make demo", "make demo installs what is missing, builds ds4 and asks the small model three questions.", """
What does make demo do?
What is make demo?
What is make demo for?
Explain make demo.
What happens when I run make demo?
How can I try @ quickly?
What is the fastest way to try @?
How do I try @?
How do I see a demo of @?
What is the quickest start?
I am new, how do I start with @?
How do I get started?
What do I need to get going?
Where do I begin?
What should I do first?
Getting started?
How do I run the demo?
demo
quick start
try it
first steps
getting started
I want to try it quickly.
I am new here, where do I begin?
Show me a demo.
What is the first thing to type?
How can I see it work at once?
Let me try @.
Where should a beginner start?
Give me a quick start.
"""),
    ("make test", "make test installs what is missing, builds ds4 and runs all tests.", """
What does make test do?
What is make test?
What is make test for?
Explain make test.
What happens when I run make test?
How do I run the tests?
How can I test @?
Which command runs the tests?
How do I start the test suite?
How do I check that my build works?
Command for the tests?
test suite
run tests
run the tests
Is my build fine?
I want to run the tests.
I changed the code, how do I test it?
Tell me how to run the tests.
What do I type for the tests?
Make sure that it works, how?
Is there a test command?
"""),
    ("how long the tests take", "All tests take about sixteen minutes on two cores.", """
How long do the tests take?
How long does make test take?
How many minutes do the tests run?
How much time do the tests need?
Are the tests slow?
How long must I wait for the tests?
Is make test fast?
When are the tests finished?
What is the run time of the tests?
How long does the test suite run?
test duration
time for the tests
The tests are still running, is that normal?
Do I have time for a coffee while the tests run?
Do the tests take hours?
make test is slow
Can I wait for the tests?
Tell me how long the tests take.
duration of make test
After how many minutes are the tests done?
"""),
    ("make eval-nano", "make eval-nano asks ds4-nano held-out questions and prints how many it answers rightly.", """
What does make eval-nano do?
What is make eval-nano?
What is make eval-nano for?
Explain make eval-nano.
What happens when I run make eval-nano?
How do I evaluate #?
How can I evaluate #?
How do I measure how good # is?
Which command evaluates #?
How is # evaluated?
evaluate nano
eval-nano
How do I get the table of scores of #?
I want to see how good # is.
Is there a benchmark for #?
How do you measure the quality of #?
Which make target evaluates the small model?
Can I check the numbers of # myself?
Where do the percentages of # come from?
Tell me how to evaluate #.
"""),
    ("make check-train", "make check-train compares the Python text code of train/ with ds4.", """
What does make check-train do?
What is make check-train?
What is make check-train for?
Explain make check-train.
What happens when I run make check-train?
How do I check the text code of train/?
How is the Python tokenizer compared with @?
"""),
    ("build/answers", "build/answers reads requests as lines of JSON and prints what the model answers to each.", """
What is build/answers?
What does build/answers do?
What is the program answers?
What is the program answers for?
What is tools/answers.c?
How do I ask many questions at once?
How do I ask the model many questions from a script?
Explain build/answers.
"""),
    ("make deps", "make deps installs the libraries that ds4 needs, with apt or Homebrew.", """
What does make deps do?
What is make deps?
What is make deps for?
Explain make deps.
What happens when I run make deps?
How do I install the libraries?
How do I install the dependencies?
Which command installs the dependencies of @?
A library is missing, what do I do?
How do I get the packages that @ needs?
Command to install dependencies?
dependencies install
install dependencies
missing library
The build says that a library is missing.
It cannot find pcre2.h.
jansson.h not found
I get an error about a missing header.
make complains about missing packages
How do I get the needed packages?
Install the libraries for me, how?
pkg-config does not find a library
fatal error: no such file or directory in the build
"""),
    ("make fuzz", "make fuzz runs each fuzz target for two minutes; it needs clang.", """
What does make fuzz do?
What is make fuzz?
What is make fuzz for?
Explain make fuzz.
How do I fuzz @?
How do I run the fuzz tests?
Which command runs the fuzzers?
What happens when I run make fuzz?
How long does make fuzz run?
Does fuzzing need clang?
"""),
    ("what is fuzzed", "The fuzz targets are GGUF files, the tokenizer, prompts and answers.", """
What is fuzzed in @?
Which parts of @ are fuzzed?
What are the fuzz targets?
Which fuzz targets are there?
Which fuzzers exist?
What do the fuzzers test?
List the fuzz targets.
Is the GGUF reader fuzzed?
How many fuzz targets are there?
"""),
    ("sanitizers", "make SAN=address,undefined test runs the tests under sanitizers.", """
How do I run the tests under sanitizers?
How do I use sanitizers with @?
How can I run the tests with the address sanitizer?
What is SAN in the Makefile?
What does SAN=address,undefined do?
How do I turn on sanitizers?
Which make variable turns on sanitizers?
How do I find memory errors in @?
Is there a sanitizer build?
How do I run the tests with the thread sanitizer?
"""),
    ("make clean", "make clean removes the build folders.", """
What does make clean do?
What is make clean?
How do I remove the build files?
How do I delete the build folder?
How do I clean up?
Which command removes what was built?
How do I start the build from scratch?
Explain make clean.
clean
clean build
remove build files
I want to build everything again.
How do I get rid of the object files?
Wipe the build folder, how?
Which target cleans up?
Delete what make has made.
How do I rebuild from nothing?
I want a fresh build.
"""),
    ("another compiler", "make CC=clang builds ds4 with another compiler, here clang.", """
How do I build @ with clang?
How do I use another compiler?
How can I choose the compiler?
How do I build with a different compiler?
Can I compile @ with clang?
Does @ build with clang?
What does make CC=clang do?
Which make variable sets the compiler?
How do I set the compiler for @?
clang
build with gcc
I prefer clang, how do I use it?
Can I use gcc 13?
How do I tell make which compiler to take?
CC variable
make takes the wrong compiler
Does it compile with clang?
I want to use a different compiler.
Change the compiler, how?
"""),
    ("verbose builds", "make V=1 shows the full commands of the build.", """
How do I see the commands that make runs?
How do I get a verbose build?
What does make V=1 do?
What is V=1 in make?
How can I see the compiler commands?
Show the full build commands, how?
Which make variable shows the commands?
Why does make hide the commands?
How do I make the build verbose?
verbose
verbose make
I do not see the compiler commands.
What does make really run?
Print all commands of the build, how?
V=1
I want to see the flags of the compiler.
make shows too little
How do I see the full command lines?
Let make show what it does.
"""),
    ("what the build needs", "Building ds4 needs git, make and a C compiler; make deps brings the libraries.", """
What do I need to build @?
What is needed to build @?
Which tools does the build need?
What are the requirements of the build?
Which compiler do I need for @?
What must be installed before I build @?
Build requirements?
Do I need cmake for @?
Does @ use cmake?
Which build tools are needed?
build requirements
prerequisites
I have only gcc, is that enough?
Do I need Xcode?
Which tools must I have before I compile?
Do I need autoconf?
Is CMake required?
What should I install before building?
Is a C compiler enough?
Do I need Docker?
"""),
    ("the place of the binary", "The program is build/ds4 after make.", """
Where is the binary of @?
Where is the ds4 program after make?
Where does make put ds4?
Where can I find the built program?
Where is the executable?
In which folder is the ds4 binary?
What is the path of the program?
Where do I find ds4 after building?
What file do I run after make?
binary location
where is the executable
I ran make, where is the program now?
bash says that ds4 is not found
ds4: command not found
Command not found, why?
I built it but cannot find the program.
path to the program
Where did make put it?
What is the built file called?
It compiled, what do I start?
"""),
    ("the libraries of ds4", "ds4 uses PCRE2, Jansson, libedit and xxHash, and cmocka for the tests.", """
Which libraries does @ use?
What libraries does @ need?
What are the dependencies of @?
Which dependencies does @ have?
What does @ depend on?
Which packages does @ need?
List the libraries of @.
On which libraries does @ depend?
Dependencies?
What third-party code does @ use?
Which external libraries are used?
dependencies
libraries
third-party libraries
What else must be on my system for @?
Does it need OpenBLAS?
Does @ use ggml?
Tell me the dependencies.
What does it link against?
Which shared libraries does the binary need?
Name the libraries that @ uses.
"""),
    ("PCRE2", "ds4 uses PCRE2 for the regular expressions of the tokenizer.", """
What is PCRE2 used for?
Why does @ need PCRE2?
What does @ do with PCRE2?
Which library handles regular expressions in @?
Why PCRE2?
Where does @ use regular expressions?
What library does the tokenizer use?
Which regex library does @ use?
"""),
    ("Jansson", "ds4 uses Jansson to read and write JSON.", """
What is Jansson used for?
Why does @ need Jansson?
What does @ do with Jansson?
Which library handles JSON in @?
Why Jansson?
Which JSON library does @ use?
How does @ parse JSON?
What library reads JSON?
"""),
    ("libedit", "ds4 uses libedit for line editing and history in the chat.", """
What is libedit used for?
Why does @ need libedit?
What does @ do with libedit?
Which library does the line editing?
Why libedit?
Does @ use readline?
Which line editor does @ use?
What library edits the lines in the chat?
"""),
    ("xxHash", "ds4 uses xxHash for fast hashing.", """
What is xxHash used for?
Why does @ need xxHash?
What does @ do with xxHash?
Which library does the hashing?
Why xxHash?
Which hash library does @ use?
What hash function does @ use?
How does @ hash data?
"""),
    ("cmocka", "cmocka is the test framework of ds4; only the tests need it.", """
What is cmocka used for?
Why does @ need cmocka?
What does @ do with cmocka?
Which test framework does @ use?
Why cmocka?
What framework are the tests written with?
Is cmocka needed to run @?
What library do the tests use?
"""),
    ("vendored code", "Nothing is vendored in ds4; all libraries come from the system's packages.", """
Is anything vendored in @?
Does @ vendor its libraries?
Are the libraries in the repository?
Is there third-party code in the repository of @?
Does @ bundle other libraries?
Where do the libraries of @ come from?
Is any foreign code copied into @?
Vendored code?
Does @ contain copies of other projects?
"""),
    ("the header of the library", "include/ds4.h is the only header that a program needs to embed ds4.", """
Which header does a program include to use @?
What is the public header of @?
How do I embed @ in my program?
Can I use @ as a library?
Is there a C API?
Where is the API of @ documented?
Which header has the public API?
Does @ have a C API?
What is include/ds4.h?
Which file do I include to use libds4?
How do I use @ from my own C program?
c api
api
embed ds4
I want to call @ from my own C code.
How do I embed the engine?
Which header do I need?
I write a C program, can I link @?
Where is the API?
Can I build my own program on @?
Is the API documented?
header file
"""),
    ("the library", "The library is build/libds4.a; it never prints and never exits.", """
What is libds4.a?
Where is the library of @?
Which library file does make build?
Does the ds4 library print anything?
Does the library ever exit the process?
What is the name of the library?
What is the static library of @ called?
Can the library end my program?
Is there a static library?
libds4
static library
libds4.a
Does the library write to the terminal?
I want to link the library, where is it?
What do I link against?
Will the library kill my program?
Does libds4 call exit?
library file name
Is there a shared library?
"""),
    # ---- commands ----------------------------------------------------------------------------------------------
    ("the commands of ds4",
     "Besides answers and chat there are pull, plan, bench, synth, inspect, tokenize, render, logits and score.", """
Which commands does @ have?
What commands are there?
List the commands of ds4.
What subcommands does ds4 have?
Which subcommands are there?
What can the ds4 command line do?
Name all commands of ds4.
Show me the commands.
Commands?
What are the ds4 commands?
Give me a list of all commands.
commands
list of commands
subcommands
What commands can I run?
What else can the program do on the command line?
Which tools are in the program?
ds4 command list
Tell me the commands.
What are all the ds4 subcommands?
Give me an overview of the commands.
"""),
    ("using ds4", 'Run ds4 for a chat or ds4 -p "TEXT" for one answer; -m FILE chooses a large model.', """
How do I use @?
How does one use @?
How do I run @?
How do I run a model with @?
How does @ work on the command line?
What do I type to use @?
Show me how to use @.
Explain how to use @.
How is @ used?
Usage?
usage
how to use
How do I run it?
I built it, how do I use it?
Give me an example command.
Show me an example of how to call @.
What is the usual command line?
Tell me how to use @.
I do not know how to use this.
What do I do with @ now?
run ds4
basic usage
"""),
    ("ds4 -p", 'ds4 -p "TEXT" answers one prompt and exits.', """
What does ds4 -p do?
What is the option -p?
What is -p for?
What does -p mean?
How do I ask one question and exit?
How do I get one answer on the command line?
How do I give a prompt on the command line?
How do I pass a prompt to ds4?
What does --prompt do?
How can I ask @ something from the shell?
How do I use @ without the chat?
Which option takes the prompt?
one question
single prompt
prompt option
-p
I want just one answer and no chat.
How do I use @ in a script?
Ask a single question from the shell, how?
Where do I write my prompt?
I do not want to chat, only one answer.
Can I put the question on the command line?
"""),
    ("prompts from standard input", "ds4 -p - reads the prompt from standard input.", """
How do I read the prompt from standard input?
What does ds4 -p - do?
How do I pipe a prompt into ds4?
Can @ read the prompt from a pipe?
How do I give a file as the prompt?
How do I send text to ds4 through a pipe?
Does @ read standard input?
Can the prompt come from stdin?
How can I feed a long prompt to ds4?
What does -p with a dash mean?
stdin
pipe
cat file into ds4
I want to pipe text into @.
echo question into ds4
How do I summarise a file from the shell?
Does it work with pipes?
My prompt is in a file.
How do I pass a very long prompt?
read prompt from a file
"""),
    ("starting the chat", "Run ds4 without -p on a terminal to start the chat.", """
How do I start the chat?
How do I chat with the model?
How can I talk to the model?
Which command starts a chat?
How do I start a conversation?
What happens when I run ds4 without arguments?
How do I use @ interactively?
Is there a chat mode?
How do I open the chat?
What does ds4 do without -p?
How do I get an interactive session?
chat
start chat
interactive mode
I want to chat.
I want to talk with the model.
How do I begin to chat?
How do I have a conversation?
Where is the chat?
chat mode
Let me chat with it.
"""),
    ("ds4 inspect", "ds4 inspect MODEL prints metadata, tensors and sizes of a file, and what is wrong with it.", """
What does ds4 inspect do?
What is ds4 inspect?
What is inspect for?
How do I see what is in a model file?
How do I check a model file?
Which command shows the metadata of a file?
How do I look into a GGUF file?
How can I find out whether a model file is broken?
How do I list the tensors of a file?
Explain ds4 inspect.
What does the inspect command print?
Which command tells me what is wrong with a file?
inspect
look inside a model file
model info
Is my file complete?
I want to know what is in my GGUF.
How can I check a download?
Show me the tensors of a file.
My model file may be damaged, how do I check?
List the metadata of a model.
Which shapes are in the file?
"""),
    ("ds4 tokenize", "ds4 tokenize turns standard input into token ids, one per line.", """
What does ds4 tokenize do?
What is ds4 tokenize?
What is tokenize for?
How do I turn text into tokens?
How do I see the tokens of a text?
How do I count the tokens of a text?
Which command makes tokens from text?
How do I get token ids?
Explain ds4 tokenize.
What does the tokenize command print?
How can I tokenize a file?
tokenize
count tokens
token count of a file
How many tokens does my text have?
I want to see token ids.
How do I know how long my prompt is in tokens?
Split my text into tokens, how?
Is there a tokenizer command?
Show the tokens of my text.
text to tokens
"""),
    ("tokenize --decode", "ds4 tokenize --decode turns token ids back into text.", """
What does tokenize --decode do?
What does --decode do?
How do I turn token ids into text?
How do I decode tokens?
How can I get text from token ids?
Which option decodes tokens?
What is --decode for?
How do I see which text a token id means?
How do I go from tokens back to text?
"""),
    ("tokenize --special", "With --special the strings of control tokens become control tokens.", """
What does tokenize --special do?
What does --special do?
What is --special for?
How do I tokenize control tokens?
Which option turns control strings into control tokens?
What does the option --special mean?
How can I get control tokens from text?
What changes with --special?
Explain --special.
"""),
    ("ds4 render", "ds4 render turns a chat request in JSON into the exact prompt text.", """
What does ds4 render do?
What is ds4 render?
What is render for?
How do I see the exact prompt of a request?
How do I turn a JSON request into a prompt?
Which command shows the prompt text?
How can I see what the model really gets?
Explain ds4 render.
What does the render command print?
Which command applies the chat template?
How do I apply the chat template?
render
chat template
show the prompt
I want to see the raw prompt.
What text does the model get in the end?
json to prompt
Which template is applied?
Print the full prompt, how?
How do tools look in the prompt?
Can I see the prompt before it runs?
"""),
    ("render --tokens", "ds4 render --tokens prints the token ids of the prompt, one per line.", """
What does render --tokens do?
What is render --tokens for?
How do I get the tokens of a rendered prompt?
How do I see the token ids of a chat request?
Which option makes render print tokens?
Can render print token ids?
Explain ds4 render --tokens.
How do I tokenize a chat request?
"""),
    ("ds4 logits", "ds4 logits evaluates a list of tokens and writes the logits to a file.", """
What does ds4 logits do?
What is ds4 logits?
What is the logits command for?
How do I get the logits of a prompt?
How do I write logits to a file?
Which command gives me raw logits?
How can I see the raw numbers of the model?
Explain ds4 logits.
What does the logits command write?
Which command evaluates a list of tokens?
logits command
dump logits
I need the raw logits.
How do I export logits?
Save the logits of a text, how?
How do I compare the logits with another program?
Give me the logits for a token list.
Is there a way to get logits?
raw model output
Which command dumps the logits?
"""),
    ("the files of ds4 logits",
     "ds4 logits reads tokens as little-endian int32 and writes logits as little-endian float32.", """
What format do the files of ds4 logits have?
What is the format of the logits file?
In which format does ds4 logits write?
What must the token file for ds4 logits look like?
Which number format does the --out file have?
What do --tokens and --out mean for ds4 logits?
What byte order do the logits have?
Are the logits float32?
How do I read the output of ds4 logits?
"""),
    ("logits --positions",
     "--positions all writes a row of logits for each token, --positions last only for the last one.", """
What does --positions do?
What is --positions for?
Which values can --positions have?
How do I get only the logits of the last token?
How do I get logits for every position?
What does --positions last mean?
What does --positions all mean?
Explain --positions.
"""),
    ("logits --chunk",
     "--chunk N sets how many tokens are evaluated in one pass over the weights; the default is 512.", """
What does --chunk do?
What is --chunk for?
How many tokens are evaluated in one pass?
What is the default of --chunk?
How do I change the chunk size?
What is the default chunk size?
What does the option --chunk mean?
Explain --chunk.
Which option sets the tokens per pass?
"""),
    ("logits --exact",
     "--exact keeps activations as float32 on the CPU, which is slow; otherwise they are rounded to 8 bits.", """
What does --exact do?
What is --exact for?
What does the option --exact mean?
How do I get exact arithmetic?
Explain --exact.
Do I need --exact on the CPU?
Which option asks for float arithmetic?
What changes with --exact?
"""),
    ("logits --no-compressed", "--no-compressed is for tests: attention does not see compressed rows.", """
What does --no-compressed do?
What is --no-compressed for?
What does the option --no-compressed mean?
Explain --no-compressed.
How do I turn compressed rows off?
What changes with --no-compressed?
Which option hides the compressed rows?
"""),
    ("logits --no-qat", "--no-qat is for tests: rows and indexer queries are not rounded to FP8 and FP4.", """
What does --no-qat do?
What is --no-qat for?
What does the option --no-qat mean?
Explain --no-qat.
How do I turn the rounding of rows off?
What changes with --no-qat?
Which option turns off the rounding of rows?
"""),
    ("logits --float-rows", "--float-rows is for tests: rows are kept as float32.", """
What does --float-rows do?
What is --float-rows for?
What does the option --float-rows mean?
Explain --float-rows.
How do I keep rows as float32?
What changes with --float-rows?
Which option keeps the rows in float32?
"""),
    ("ds4 score", "ds4 score tells how well the model predicts a text.", """
What does ds4 score do?
What is ds4 score?
What is score for?
How do I measure perplexity?
How do I compute the perplexity of a text?
Which command measures how well the model predicts a text?
How can I test the quality of a model?
Explain ds4 score.
What is the score command?
How do I compare two model files by quality?
score
perplexity command
measure perplexity
How good is my quantised file?
I want to compare q2 and q4.
Which command gives the perplexity?
How do I check the quality of a file?
Compute the perplexity of a text, how?
text probability
How likely is my text for the model?
"""),
    ("the output of ds4 score", "ds4 score prints three lines: tokens, nll_per_token and perplexity.", """
What does ds4 score print?
What is the output of ds4 score?
Which lines does ds4 score print?
How many lines does ds4 score print?
Which numbers does ds4 score give?
What do I see when I run ds4 score?
What are the results of ds4 score?
What is nll_per_token?
How do I read the output of ds4 score?
"""),
    ("the window of ds4 score",
     "ds4 score cuts a long text into windows of 4096 tokens, if --ctx says nothing else.", """
What is the window of ds4 score?
How long are the windows of ds4 score?
What is the default window for ds4 score?
What does --ctx mean for ds4 score?
How does ds4 score handle long texts?
Does ds4 score cut long texts?
What is the window size of score?
How are long texts scored?
"""),
    ("help on the command line", "ds4 --help and ds4 COMMAND --help list the options.", """
How do I get help on the command line?
What does ds4 --help do?
What does --help print?
How do I see the options of a command?
How do I list all options?
Where do I find the options?
Is there a help option?
How can I see what options a command takes?
Which option shows the help?
What options are there?
help option
--help
command line help
Where are all options listed?
I forgot the options.
man page?
Is there a list of options?
How do I find out what I can set?
Show the help text, how?
options list
"""),
    ("printing the version", "ds4 --version prints the version.", """
How do I see which version I have?
How do I print the version?
What does ds4 --version do?
What does --version print?
Which option shows the version?
How can I find out the version of @?
How do I get the version number?
Command for the version?
--version
print version
ds4 version command
How do I find out which ds4 I have installed?
Let the program tell me its version.
Which flag prints the version?
I want to see the version on the command line.
show version
Where do I see the version?
version flag
"""),
    ("links named ds4-COMMAND", "A link named ds4-COMMAND runs that command.", """
What does a link named ds4-COMMAND do?
What happens if I make a link called ds4-inspect?
Can I call ds4 through a link?
What does a link named ds4-tokenize do?
How do I make a shortcut for a ds4 command?
What are links named ds4-score for?
Can I have a separate name for each command?
What if ds4 is called through a link?
"""),
    # ---- options -----------------------------------------------------------------------------------------------
    ("the option -m", "-m FILE, or --model FILE, names the model file.", """
What does -m do?
What is the option -m?
What is -m for?
What does --model do?
How do I choose the model?
How do I load another model?
How do I tell ds4 which model to use?
Which option sets the model file?
How do I select a model file?
How do I use a different model?
How do I load a GGUF file?
How do I open a model file?
How do I run the big model?
What does ds4 -m mean?
model option
choose model
load model
change model
-m
I have downloaded a model, how do I load it?
I have a GGUF file, what now?
Use my own model, how?
It does not use my model file.
How do I start it with DeepSeek V4 Flash?
I want to run the real model.
Where do I put the model file?
In which folder must the model be?
Switch to the big model, how?
"""),
    ("ds4 without -m",
     "Without -m, ds4 uses the file that DS4_MODEL names, else a downloaded model, else the built-in ds4-nano.", """
Which model is used without -m?
What happens without -m?
What model does ds4 use by default?
What is the default model?
Do I have to give -m?
Which model answers if I give none?
What if I do not name a model?
Which file does ds4 load when there is no -m?
Must I always type -m?
What is the default of -m?
default model
It doesn't find a model.
no model found
I gave no model, which one answers?
Which model am I using now?
What model is this when I just type ds4?
Do I need a model file at all?
Which model do I get if I say nothing?
I did not choose a model.
model used by default
"""),
    ("the option --system", "--system TEXT sets the system text; an empty text means none.", """
What does --system do?
What is the option --system?
What is --system for?
How do I set the system prompt?
How do I change the system text?
How do I set a system message?
Which option sets the system prompt?
How do I run without a system prompt?
Can I change the system prompt?
How do I turn the system text off?
How do I give the model instructions for the whole conversation?
system prompt
system message
set system prompt
I want you to play a role, where do I say that?
How do I give it a personality?
How do I tell the model to be brief always?
Remove the system prompt, how?
custom system prompt
Where do I write instructions for the model?
I want another system text.
"""),
    ("the default system text", 'The default system text is "You are a helpful assistant".', """
What is the default system text?
What is the default system prompt?
Which system prompt does @ use?
What system message is used by default?
What does the model get as system text if I set none?
Is there a default system prompt?
What is the default of --system?
What is the standard system prompt of @?
Default system prompt?
default system prompt
What is it told by default?
Which instructions does the model get by default?
What system text is there if I say nothing?
Is a system prompt set already?
Is the system prompt empty by default?
Show the default system prompt.
Tell me the default system text.
built-in system prompt
What stands in the system prompt from the start?
"""),
    ("the option --think", "--think off, high or max sets the reasoning effort; the default is high.", """
What does --think do?
What is the option --think?
What is --think for?
Which values can --think have?
What is the default of --think?
How do I set the reasoning effort?
How do I turn off thinking on the command line?
Which option turns reasoning off?
How do I disable reasoning with an option?
How do I start ds4 without thinking?
Which option sets the thinking mode?
What is the default reasoning effort?
think option
reasoning effort
--think
disable thinking
no thinking
I do not want to see it think.
It thinks too long, how do I turn that off?
Thinking off on the command line, how?
Which reasoning efforts are there?
Is thinking on by default?
How do I get an answer at once without reasoning?
Choose the thinking mode, how?
"""),
    ("--think max", "--think max needs a context of at least 393216 tokens; with fewer it becomes high.", """
What does --think max need?
How much context does --think max need?
Why does max become high?
When does max become high?
What is needed for the reasoning effort max?
How do I use the highest reasoning effort?
Why does --think max not work?
How many tokens of context does max thinking need?
What happens with --think max in a small context?
think max
maximum reasoning
I asked for max and got high.
A note says that max became high, why?
My context is too small for max.
Can I use max with 32768 tokens?
How large must the context be for max?
requirements of --think max
Why is --think max ignored?
How do I get the very highest effort?
"""),
    ("the option --ctx", "-c N, or --ctx N, sets the context in tokens; the default is 32768.", """
What does --ctx do?
What is the option --ctx?
What is --ctx for?
What is the default of --ctx?
How do I set the context size?
How do I get a longer context?
Which option sets the context?
What is the default context of @?
How long is the context by default?
What does -c do?
How many tokens of context does @ use by default?
How do I make the context larger?
context size
set context
--ctx
-c
context option
My prompt is too long.
I need more context.
My text does not fit, what do I do?
The context is too small.
How many tokens fit by default?
Raise the context limit, how?
I want a context of 100000 tokens.
"""),
    ("the option -n", "-n N limits the tokens of an answer, reasoning included.", """
What does -n do?
What is the option -n?
What is -n for?
How do I limit the length of an answer?
How do I get shorter answers?
Which option limits the answer?
How can I stop the answer after 100 tokens?
What is the maximum number of tokens of an answer?
Does -n count the reasoning?
How do I set the number of tokens to generate?
How do I restrict the output length?
limit the answer
max tokens
-n
answer length
Answers are too long, what can I set?
I want short answers only.
How do I cap the output?
Stop after 50 tokens, how?
output limit
number of tokens of the answer
"""),
    ("the default of -n", "Without -n an answer may go on until the context is full.", """
What is the default of -n?
How long can an answer be without -n?
What happens without -n?
When does an answer stop without -n?
Is there a limit on answers by default?
How long are answers by default?
Is the length of an answer limited by default?
What if I do not give -n?
"""),
    ("the option --temp", "--temp X sets the sampling temperature, from 0 to 100; the default is 1.", """
What does --temp do?
What is temperature?
What is the option --temp?
What is --temp for?
What is the default of --temp?
What is the default temperature?
How do I set the temperature?
Which option sets the temperature?
What values can --temp have?
How do I change the sampling temperature?
How do I make answers more random?
What temperature does @ use?
temperature
temp
--temp
sampling temperature
The answers are too wild.
How do I get more creative answers?
Less random answers, how?
Can I set the temperature to 0.7?
Is there a temperature setting?
creativity setting
"""),
    ("temperature 0", "--temp 0 always takes the most likely token.", """
What does temperature 0 do?
What does --temp 0 mean?
What happens at temperature 0?
How do I get greedy decoding?
How do I always get the most likely token?
How do I turn off randomness?
How do I get deterministic answers?
Which temperature means greedy?
What is --temp 0 for?
How do I make sampling greedy?
How do I get no randomness at all?
greedy
greedy decoding
deterministic output
no randomness
I want the most likely answer always.
Switch sampling off, how?
I do not want any randomness.
Can sampling be turned off?
temp 0
Always pick the best token, how?
"""),
    ("the option --top-p",
     "--top-p X draws only from the most likely tokens that together have probability X; the default is 1.", """
What does --top-p do?
What is the option --top-p?
What is --top-p for?
What is the default of --top-p?
How do I set top-p?
Explain top-p.
What is nucleus sampling in @?
Which option does nucleus sampling?
What does top p mean?
What is top-p sampling?
top-p
top p
--top-p
nucleus sampling
Can I set top p to 0.9?
Where do I set top-p?
Is top-p supported?
Tell me about top-p.
What does nucleus sampling do?
meaning of top-p
"""),
    ("the option --top-k", "--top-k N draws only from the N most likely tokens; the default 0 means all.", """
What does --top-k do?
What is the option --top-k?
What is --top-k for?
What is the default of --top-k?
How do I set top-k?
Explain top-k.
How do I draw from the 40 most likely tokens only?
What does --top-k 0 mean?
What does top k mean?
What is top-k sampling?
top-k
top k
--top-k
Can I set top k to 40?
Where do I set top-k?
Is top-k supported?
Tell me about top-k.
Draw from few tokens only, how?
meaning of top-k
Limit the choice to the best 10 tokens, how?
"""),
    ("the option --min-p",
     "--min-p X drops tokens less likely than X times the most likely one; the default is 0.05.", """
What does --min-p do?
What is the option --min-p?
What is --min-p for?
What is the default of --min-p?
How do I set min-p?
Explain min-p.
How do I drop unlikely tokens?
Which option drops very unlikely tokens?
What does min p mean?
What is min-p sampling?
min-p
min p
--min-p
Can I set min p?
Where do I set min-p?
Is min-p supported?
Tell me about min-p.
It picks strange rare tokens.
meaning of min-p
How do I cut off rare tokens?
"""),
    ("the option --seed", "--seed N makes the random draws repeatable; by default each run has another seed.", """
What does --seed do?
What is the option --seed?
What is --seed for?
What is the default of --seed?
How do I get the same answer again?
How do I make an answer repeatable?
How do I set the random seed?
Which option sets the seed?
Why do I get another answer each time?
How can I repeat a random answer?
What seed does @ use?
seed
random seed
--seed
same answer every time
It says something else each time, why?
Why is the answer different now?
I want to reproduce an answer.
Two runs give different answers.
Fix the randomness, how?
Can I repeat a run exactly?
reproducible answers
"""),
    ("the option --threads",
     "-t N, or --threads N, sets the number of CPU threads; the default is one per processor.", """
What does --threads do?
What is the option --threads?
What is --threads for?
What is the default of --threads?
How many threads does @ use?
How do I set the number of threads?
Which option sets the threads?
What does -t do?
How do I use fewer cores?
How can I limit @ to two cores?
How many CPU threads are used by default?
Does @ use all cores?
threads
number of threads
cpu cores
-t
It uses all my cores.
My fan is loud, can I use fewer cores?
Use four threads only, how?
Can I run it on one core?
How many cores does it take?
Limit the CPU use, how?
"""),
    ("the option --backend",
     "--backend NAME chooses what computes: cpu, metal on a Mac, or sim, a simulated GPU for tests.", """
What does --backend do?
What is the option --backend?
What is --backend for?
Which backends are there?
Which backends does this build have?
How do I choose the backend?
What values can --backend have?
What is a backend?
Which backend does @ use?
What is the default of --backend?
How do I select what computes?
backend
backends
--backend
Switch to another backend, how?
Can I choose the GPU?
Is there a choice of backends?
List the backends.
Which backends can I choose from?
backend option
What does the backend option take?
"""),
    ("how options are written", "Options are written --name VALUE or --name=VALUE; the last one of a kind counts.", """
How do I write options?
How are options written?
What is the syntax of options?
Can I write --name=VALUE?
What if I give an option twice?
Which one counts if an option is given twice?
How do I pass a value to an option?
What is the form of the options of ds4?
Do options take an equals sign?
option syntax
Does the order of options matter?
Do I write a space or an equals sign?
--name VALUE or --name=VALUE?
I gave the same option twice.
syntax of the command line
Can I write an option with an equals sign?
Does the last option win?
How do I type an option with its value?
What if an option comes twice?
"""),
    # ---- chat --------------------------------------------------------------------------------------------------
    ("the chat commands",
     "The chat commands are /help, /think, /nothink, /think-max, /ctx, /read, /reset and /quit.", """
Which commands are there in the chat?
What commands does the chat have?
List the chat commands.
Which slash commands are there?
What are the slash commands?
What can I type in the chat besides questions?
Name the chat commands.
Which commands can I use while chatting?
Chat commands?
Show me all slash commands.
chat commands
slash commands
commands in the chat
What can I type here?
Which commands start with a slash?
I am in the chat, what can I do?
Tell me the slash commands.
list of slash commands
What special commands does the chat know?
Is there a command in the chat for everything?
"""),
    ("/help", "/help lists the commands of the chat.", """
What does /help do?
What is /help?
What is /help for?
How do I get help in the chat?
How do I see the chat commands?
Which command lists the chat commands?
Is there help in the chat?
Explain /help.
What happens if I type /help?
chat help
help in chat
I am lost in the chat.
I forgot the chat commands.
Which command shows help here?
What do I type for help?
Where is the help of the chat?
slash help
Show help while chatting, how?
Is there a help command?
"""),
    ("/think", "/think turns reasoning on from now on in the chat.", """
What does /think do?
What is /think?
What is /think for?
How do I turn thinking on in the chat?
How do I switch reasoning on in the chat?
Which chat command turns reasoning on?
How do I make you think?
Explain /think.
How do I enable thinking while chatting?
What happens if I type /think?
think on
turn thinking on
I want to see you reason, what do I type in the chat?
thinking on in chat
slash think
Switch thinking back on here, how?
Which slash command lets the model think?
Enable reasoning in the chat, how?
It no longer thinks, how do I get that back?
Think before you answer, how do I set that here?
"""),
    ("/nothink", "/nothink turns reasoning off from now on in the chat.", """
What does /nothink do?
What is /nothink?
What is /nothink for?
How do I turn thinking off in the chat?
How do I switch reasoning off in the chat?
Which chat command turns reasoning off?
How do I stop you from thinking?
Explain /nothink.
How do I disable thinking while chatting?
What happens if I type /nothink?
How do I get answers without reasoning in the chat?
think off
turn thinking off
stop thinking
You think too much, which command stops that?
thinking off in chat
slash nothink
I want answers without thinking here.
Which slash command stops the thinking?
Disable reasoning in the chat, how?
The grey text annoys me, how do I stop it?
"""),
    ("/think-max", "/think-max sets the highest reasoning effort from now on in the chat.", """
What does /think-max do?
What is /think-max?
What is /think-max for?
How do I get the highest reasoning effort in the chat?
Which chat command sets the most reasoning?
Explain /think-max.
What happens if I type /think-max?
How do I make you think as much as possible?
Which command sets maximum thinking in the chat?
max thinking in chat
slash think-max
Think harder, how do I set that?
Which slash command gives the most thinking?
I want the longest reasoning in the chat.
Turn the effort to the maximum while chatting.
most reasoning in chat
Can I make you think more?
strongest thinking in the chat
How do I get more reasoning here?
"""),
    ("/ctx", "/ctx shows how much of the context is used, and /ctx N sets its size.", """
What does /ctx do?
What is /ctx?
What is /ctx for?
How do I see how much context is used?
How full is my context?
How do I change the context size in the chat?
Which chat command shows the context?
How many tokens have I used?
How do I resize the context while chatting?
Explain /ctx.
What happens if I type /ctx?
How much context is left in the chat?
context used
how full is the context
slash ctx
How much room is left?
How many tokens are left in this chat?
Is my chat nearly full?
Change the context while chatting, how?
remaining context
I want to see the context use.
How long may our conversation still become?
"""),
    ("/read", "/read FILE sends what is in the file as your message.", """
What does /read do?
What is /read?
What is /read for?
How do I send a file in the chat?
How do I put a file into the chat?
How do I let you read a file?
Which chat command reads a file?
Can I load a text file into the conversation?
How can I ask about a file in the chat?
Explain /read.
What happens if I type /read?
read a file
load a file
send a file
slash read
I want you to look at my file.
Can you open a file?
How do I give you a document?
Put a text file into the chat, how?
I want to ask about my text file.
attach a file
"""),
    ("/reset", "/reset begins a new conversation.", """
What does /reset do?
What is /reset?
What is /reset for?
How do I start a new conversation?
How do I begin again in the chat?
How do I clear the conversation?
How do I make you forget everything?
Which chat command starts over?
How do I delete the conversation?
Explain /reset.
What happens if I type /reset?
reset
new conversation
start over
new chat
clear
Forget everything.
I want a new conversation.
Forget what I said, how?
Start again from zero, how?
Clear the chat.
Erase our conversation.
I want to begin again.
slash reset
"""),
    ("/quit", "/quit or Ctrl-D leaves the chat.", """
What does /quit do?
What is /quit?
What is /quit for?
How do I leave the chat?
How do I quit?
How do I exit the chat?
How do I end the chat?
How do I get out of here?
What does Ctrl-D do?
Which chat command ends the program?
How do I close @?
How do I exit?
How do I leave?
How do I exit @?
Explain /quit.
How do I stop the program?
exit chat
quit chat
how to exit
leave the program
end the chat
close the program
I want to leave.
I want to quit.
Let me out of here.
How do I get back to my shell?
It does not stop, how do I quit?
I am done, how do I close this?
How do I end this?
slash quit
How do I end the program?
"""),
    ("Ctrl-C", "In the chat Ctrl-C ends an answer, or drops the line that you are editing.", """
What does Ctrl-C do?
What happens when I press Ctrl-C?
How do I stop an answer?
How do I interrupt the model?
How can I stop you while you are talking?
How do I cancel an answer?
What does control C do?
Which key stops the answer?
The answer is too long, how do I stop it?
How do I abort generation?
ctrl-c
interrupt
stop the answer
cancel
You talk too much, how do I stop you?
It does not stop writing.
Stop writing, how?
How do I break off an answer?
The model repeats itself, how do I stop it?
I want to stop this answer.
Which key interrupts?
"""),
    ("the history file", "The chat keeps its line history in ~/.ds4_history, which only you can read.", """
Where is the chat history?
Where is the history file?
What is the history file called?
Where are my chat lines kept?
Where does @ store the history?
What is ~/.ds4_history?
Does @ save what I type?
Who can read the history file?
Is the history private?
Where does the chat save its history?
Does the chat have a history?
history
history file
chat history file
Where are the lines that I typed?
Is what I type written to disk?
How do I delete my history?
Does it keep a log of my lines?
Can I get my old lines back?
Can others see what I typed?
file of the history
"""),
    ("saving a chat", "The chat saves the lines that you typed, but not the conversation.", """
Can I save the conversation?
How do I save the conversation?
How do I save a chat?
Does the chat save the conversation?
Can I resume a chat later?
Can I continue the chat tomorrow?
How do I load an old conversation?
Is the conversation saved when I quit?
Are the answers saved?
Where is my conversation saved?
save chat
save conversation
export conversation
resume
I closed the chat, is it gone?
I want to go on with the chat of yesterday.
Keep this conversation, how?
Does it keep our conversation after I quit?
Can I open an old chat?
Store this chat for later.
"""),
    ("long lines in the chat", "A line that ends with a backslash goes on in the next one.", """
How do I type several lines in the chat?
How do I write a message with more than one line?
How do I continue a line in the chat?
What does a backslash at the end of a line do?
Can I type multi-line messages?
How do I enter a line break in the chat?
How do I split a long message over lines?
What does a line ending with a backslash mean?
multi-line input
several lines
line break
newline in chat
Enter sends my text too early.
I want to write two paragraphs.
How do I type a second line?
How do I put a line break into my message?
Can a message have many lines?
My message has more than one line.
"""),
    ("lines that begin with a space", "A line that begins with a space is never a command.", """
How do I type a line that begins with a slash?
What does a space at the start of a line do?
How do I send text that looks like a command?
How do I write a slash at the start of a message?
What if my message starts with a slash?
How do I say /help to the model?
What does a leading space mean in the chat?
Can a line with a leading space be a command?
"""),
    ("the progress bar", "The progress bar and the speeds go to standard error, only if it is a terminal.", """
Where does the progress bar go?
Where are the speeds printed?
Does @ show a progress bar?
Where do I see the speed?
Is the progress bar part of the output?
Why do I see no progress bar?
When is the progress bar shown?
Does the progress bar get into my file?
"""),
    ("where the answer goes", "The answer goes to standard output.", """
Where does the answer go?
Where is the answer printed?
How do I save the answer to a file?
Is the answer on standard output?
Can I redirect the answer?
To which stream does @ write the answer?
Which stream has the answer?
Where does @ print its answers?
save the answer
redirect output
answer to a file
I want the answer in a file.
Write the answer to a file, how?
Can I pipe the answer to another program?
stdout or stderr?
Where does the output go?
output file
Is the answer on stdout?
"""),
    ("where the reasoning goes", "On a terminal the reasoning is shown before the answer, in grey.", """
Where is the reasoning shown?
How is the reasoning displayed?
What is the grey text?
Why is some text grey?
Can I see the reasoning?
Where do I see what the model thinks?
How does the chat show thinking?
What does the grey text mean?
In which colour is the reasoning?
grey text
see the reasoning
What is this grey writing?
I do not see the reasoning.
Where are the thoughts of the model?
Show me what the model thinks, where?
Why is there grey text before the answer?
Where do the thoughts appear?
Is the reasoning visible?
reasoning output
"""),
    ("a full context", "If the context is full before the answer ends, a note says so and the exit status is 0.", """
What happens when the context is full?
What if the context is full before the answer ends?
What happens if an answer does not fit into the context?
What does @ do when the context runs out?
Why did the answer stop in the middle?
What happens at the end of the context?
Is a full context an error?
Full context, what now?
context full
context is full
The answer stopped in the middle.
It just stopped writing.
I see a note about a full context.
The answer was cut off.
My answer is incomplete, why?
Is it an error when the context is full?
What does the note about the context say?
no room in the context
"""),
    ("text encoding", "Texts for ds4 must be UTF-8.", """
Which encoding must texts have?
What text encoding does @ use?
Does @ use UTF-8?
In which encoding are prompts?
Can I use Latin-1 text with @?
Which character encoding does @ expect?
What encoding do prompts need?
Must my text be UTF-8?
Which charset does @ want?
encoding
utf-8
charset
My umlauts look wrong.
Can I write accents?
It complains about the encoding.
Is Latin-1 allowed?
Which encoding should my file have?
Do I have to use UTF-8?
encoding of prompts
"""),
    # ---- environment and statuses ------------------------------------------------------------------------------
    ("DS4_MODEL", "DS4_MODEL names the model file that is used when there is no -m.", """
What is DS4_MODEL?
What does DS4_MODEL do?
What is DS4_MODEL for?
How do I set a default model?
How do I save typing -m each time?
Which environment variable sets the model?
What is the environment variable for the model?
How do I make a model the default?
Explain DS4_MODEL.
What does export DS4_MODEL=FILE do?
Which variable names the model file?
set default model
model environment variable
DS4_MODEL
I am tired of typing -m.
I always use the same model, can I set it once?
How do I make it remember my model file?
export model path
Which variable holds the path of the model?
Use my model without -m, how?
Can I set the model for good?
"""),
    ("NO_COLOR", "NO_COLOR, if it is not empty, turns colours off.", """
What is NO_COLOR?
What does NO_COLOR do?
What is NO_COLOR for?
How do I turn colours off?
How do I get rid of the colours?
Which environment variable turns off colours?
How do I get output without colours?
Does @ honour NO_COLOR?
Explain NO_COLOR.
Can I disable colours?
no colours
turn off colours
colours off
NO_COLOR
I do not like the colours.
The colours are hard to read.
My terminal shows strange colour codes.
Plain output without colours, how?
Can I get black and white output?
Remove the colours, how?
"""),
    ("the environment variables", "ds4 looks at two environment variables, DS4_MODEL and NO_COLOR.", """
Which environment variables does @ use?
What environment variables are there?
Which environment variables does @ look at?
List the environment variables of @.
Does @ use environment variables?
Is @ controlled by environment variables?
How many environment variables does @ have?
What variables can I export for @?
environment variables
env vars
environment
Is there a config file?
What can I set in my environment?
Which variables does it read?
Does it read a configuration file?
What can I put into my bashrc for @?
Tell me the environment variables.
variables for ds4
"""),
    ("the exit statuses", "The exit status is 0 if all is well, 1 for a failure and 2 for wrong usage.", """
What are the exit statuses of @?
Which exit codes does @ have?
What do the exit codes mean?
What exit status does @ return?
List the exit statuses.
What are the return codes of ds4?
How do I know in a script whether ds4 failed?
Explain the exit statuses.
Exit codes?
Which status does ds4 end with?
exit codes
exit status
return codes
I need the exit codes for my script.
How does my script see that it failed?
What does it return to the shell?
Which return values are there?
Tell me the exit codes.
meaning of the exit status
What does echo $? show after @?
"""),
    ("exit status 0", "Exit status 0 means that all is well.", """
What does exit status 0 mean?
What does exit code 0 mean?
What is exit status 0?
What does it mean if ds4 returns 0?
When is the exit status 0?
What does status 0 say?
Which exit status means success?
What is the exit status when all is well?
"""),
    ("exit status 1", "Exit status 1 means a failure, and one line on standard error says what failed.", """
What does exit status 1 mean?
What does exit code 1 mean?
What is exit status 1?
What does it mean if ds4 returns 1?
When is the exit status 1?
What does status 1 say?
Which exit status means failure?
What is the exit status after a failure?
"""),
    ("exit status 2", "Exit status 2 means wrong usage, such as an unknown option or a missing value.", """
What does exit status 2 mean?
What does exit code 2 mean?
What is exit status 2?
What does it mean if ds4 returns 2?
When is the exit status 2?
What does status 2 say?
Which exit status means wrong usage?
What is the exit status for an unknown option?
"""),
    ("error messages", 'A failure is one line on standard error that begins with "ds4: ".', """
What do error messages look like?
How does @ report errors?
Where do errors go?
Where are error messages printed?
How do I recognise an error of @?
How long is an error message?
What does an error message begin with?
On which stream are errors?
What happens when something fails?
error
errors
error message
I got an error.
It failed, where do I see why?
Something went wrong, where is the message?
How do I see what failed?
Where is the error log?
Is there a log file?
format of error messages
"""),
    # ---- how it works ------------------------------------------------------------------------------------------
    ("memory per token", "A conversation takes about 3.5 kB of memory a token with DeepSeek V4 Flash.", """
How much memory does a token take?
How much memory is needed per token?
How many bytes does ds4 store for each token?
How much memory does a conversation take?
What is the memory cost of a token?
How large is the KV cache per token?
How many kilobytes per token?
Memory per token?
How much memory does the context need per token?
What does a token cost in memory?
memory per token
kv cache size
How much memory does a chat need?
What does a long conversation cost in memory?
How does memory grow with the context?
Is the KV cache big?
bytes per token
How much RAM does each token need?
Tell me the memory of one token.
size of the cache per token
"""),
    ("memory for a million tokens", "One million tokens of context fit in about 3.5 GB.", """
How much memory do a million tokens take?
How much memory does the full context need?
How many GB does a context of one million tokens need?
How much RAM for a million tokens?
Memory for 1M tokens?
How large is the cache for one million tokens?
How much memory does a long context need?
Does a million tokens fit in memory?
memory for a million tokens
memory of the full context
1M tokens memory
I want the full context, how much RAM is that?
Can my machine hold a million tokens?
RAM for the whole context?
Does a long context need much memory?
How many gigabytes are a million tokens?
How large does the cache become at one million tokens?
Tell me the memory of the longest context.
"""),
    ("compact rows", "Compact rows store the model's memory as FP8 and FP4 codes, exactly as the model rounds it.", """
What are compact rows?
What is a compact row?
Explain compact rows.
How does @ store the memory of a conversation?
How are rows stored?
Which number formats do the rows have?
Is the cache stored in FP8?
Why is the memory of @ so small?
How does @ keep the cache small?
What are FP8 and FP4 used for?
In which format is the KV cache?
"""),
    ("the size of a compressed row", "A compressed attention row has 583 bytes.", """
How big is a compressed row?
How many bytes has a compressed row?
How large is an attention row?
What is the size of a compressed attention row?
How many bytes is an attention row?
Size of a compressed row?
How much memory does one attention row take?
How many bytes does a compact row have?
"""),
    ("the size of an indexer row", "An indexer row has 68 bytes.", """
How big is an indexer row?
How many bytes has an indexer row?
How large is an indexer row?
What is the size of an indexer row?
How much memory does an indexer row take?
Size of an indexer row?
How many bytes does a row of the indexer have?
How many bytes does the indexer store per row?
"""),
    ("the sliding window", "The sliding window covers the latest 128 tokens.", """
How long is the sliding window?
What is the sliding window?
How many tokens are in the sliding window?
What is the size of the sliding window?
How big is the attention window?
What is the window of the attention?
How many raw rows does each layer see?
Sliding window size?
How many tokens does the local window hold?
Explain the sliding window.
"""),
    ("the compression ratios", "The compression ratios of the attention are 4 and 128.", """
What are the compression ratios?
Which compression ratios does the model use?
How strongly is the attention compressed?
How many tokens go into a compressed row?
What compression does the attention use?
Which ratios do the layers have?
Compression ratios of V4 Flash?
How much does the model compress its memory?
What are the ratios of compressed attention?
By how much are the rows compressed?
"""),
    ("the indexer", "The indexer picks the 512 compressed rows that matter most for a token.", """
What is the indexer?
What does the indexer do?
What is the indexer for?
Explain the indexer.
How many rows does the indexer select?
How many rows does the indexer pick?
How does the model find the rows that matter?
What is the lightning indexer?
Why is there an indexer?
How does the model choose which old rows to look at?
"""),
    ("hyper-connections",
     "Hyper-connections replace the one residual stream by four streams that each layer mixes.", """
What are hyper-connections?
What is a hyper-connection?
Explain hyper-connections.
What do hyper-connections do?
How many streams do hyper-connections have?
How many residual streams does the model have?
What does mHC mean?
What replaces the residual stream?
How many streams are there?
What are the four streams?
"""),
    ("the experts",
     "Each layer of DeepSeek V4 Flash has 256 routed experts, of which 6 are used, and 1 shared expert.", """
How many experts does DeepSeek V4 Flash have?
How many experts are there?
How many experts are used for a token?
How many experts are active?
How many experts does each layer have?
How many routed experts are there?
How many shared experts are there?
What are the experts of V4 Flash?
Experts?
Is DeepSeek V4 Flash a mixture of experts?
How many experts work on each token?
"""),
    ("hash routing", "The first three layers choose their experts by a hash of the token, the others by a score.", """
What is hash routing?
What are hash-routed layers?
How many layers are hash-routed?
Which layers use hash routing?
How are the experts chosen?
How does the model choose experts?
Which layers choose experts by the token?
How do the first three layers choose their experts?
How does routing work?
Explain how experts are routed.
"""),
    ("the layers of V4 Flash", "DeepSeek V4 Flash has 43 layers.", """
How many layers does DeepSeek V4 Flash have?
How many layers has V4 Flash?
How many layers are in the big model?
What is the number of layers of V4 Flash?
How deep is DeepSeek V4 Flash?
Layers of V4 Flash?
How many blocks does DeepSeek V4 Flash have?
How many transformer layers has DeepSeek V4 Flash?
What is the depth of V4 Flash?
"""),
    ("the vocabulary of V4 Flash", "DeepSeek V4 Flash has a vocabulary of 129,280 tokens.", """
How large is the vocabulary of DeepSeek V4 Flash?
How big is the vocabulary of V4 Flash?
How many tokens are in the vocabulary of V4 Flash?
What is the vocabulary size of DeepSeek V4 Flash?
How many different tokens does DeepSeek V4 Flash know?
Vocabulary of V4 Flash?
How many tokens does the big model know?
What is the size of the vocabulary of V4 Flash?
How many tokens does the tokenizer of V4 Flash have?
"""),
    ("the width of V4 Flash", "DeepSeek V4 Flash is 4096 wide.", """
How wide is DeepSeek V4 Flash?
What is the width of V4 Flash?
What is the hidden size of DeepSeek V4 Flash?
What is the embedding width of V4 Flash?
How large are the embeddings of V4 Flash?
What is the model dimension of DeepSeek V4 Flash?
Width of V4 Flash?
What is the embedding size of DeepSeek V4 Flash?
"""),
    ("the heads of V4 Flash",
     "DeepSeek V4 Flash has 64 query heads of 512 channels, which share one key-value head.", """
How many heads does DeepSeek V4 Flash have?
How many attention heads has V4 Flash?
How many query heads are there in V4 Flash?
How large is a head of V4 Flash?
What is the head size of DeepSeek V4 Flash?
How many key-value heads does V4 Flash have?
Heads of V4 Flash?
What is the number of attention heads of DeepSeek V4 Flash?
"""),
    ("thinking mode", "In thinking mode the model first writes its reasoning and then the answer.", """
What is thinking mode?
What does thinking mode do?
Explain thinking mode.
How does thinking work?
What is reasoning mode?
What do the think tags mean?
What stands between the think tags?
What is the reasoning of the model?
How does the model think?
What happens in thinking mode?
What is the difference between thinking and direct mode?
thinking
thinking mode
reasoning
What does thinking mean here?
Why does it write so much before the answer?
Why does the model think first?
What is the text before the answer?
Tell me about thinking mode.
What are those think tags?
Does thinking make the answer better?
"""),
    ("old reasoning", "Old reasoning is dropped from the prompt when the next question comes.", """
What happens to old reasoning?
Is old reasoning kept?
Does the model see its earlier reasoning?
Is the reasoning of earlier answers kept?
Does the reasoning stay in the context?
Are old thoughts part of the prompt?
What happens to the reasoning after an answer?
Can the model remember what it thought?
"""),
    ("DSML", "DSML is the markup in which DeepSeek V4 writes its tool calls.", """
What is DSML?
What does DSML mean?
Explain DSML.
What is DSML for?
In which format are tool calls written?
How does the model write tool calls?
What format do tool calls have?
Which markup do tool calls use?
What is the tool call format of DeepSeek V4?
How are tool calls marked?
"""),
    ("tool calls", "ds4 parses tool calls from the answer, but the command line only prints them.", """
Does @ support tool calls?
Can @ call tools?
Does @ run tools?
What does the command line do with tool calls?
Can @ parse tool calls?
Are tools executed by @?
Does @ support function calling?
What happens with a tool call in the chat?
Is there tool support?
How are tool calls printed?
tools
tool calls
function calling
I want the model to call my function.
Can I give it tools?
Does it execute tools?
The tool call is only printed.
How do tools work in @?
Can it run a shell command for me?
Is MCP supported?
"""),
    ("checkpoints", "A checkpoint is the state of a conversation at one position, to go back to or to fork from.", """
What is a checkpoint?
What are checkpoints?
Explain checkpoints.
What is a checkpoint in @?
What are checkpoints for?
What does a checkpoint contain?
Can @ save the state of a conversation?
What can I do with a checkpoint?
What is a checkpoint of a timeline?
"""),
    ("rewinding",
     "A conversation can be rewound to a checkpoint, and the last 16 tokens can be taken back for free.", """
Can a conversation be rewound?
How does rewind work?
What is rewind?
Can I go back in a conversation?
Can @ take tokens back?
How many tokens can be taken back for free?
How do I rewind a timeline?
Is going back expensive?
Can @ undo tokens?
Explain rewind.
"""),
    ("forks", "A fork is a checkpoint restored into a new timeline, so two conversations share their beginning.", """
What is a fork?
What are forks in @?
How does a fork work?
Can I fork a conversation?
Explain forks.
How do two conversations share a beginning?
How do I fork a timeline?
What does forking a conversation mean?
What is a fork of a timeline?
"""),
    ("timelines", "A timeline is the state of one conversation: its tokens and what the model remembers of them.", """
What is a timeline?
What are timelines?
Explain timelines.
What is a timeline in @?
What does a timeline hold?
What is the state of a conversation called?
What is ds4_timeline?
What does the word timeline mean in @?
"""),
    ("the frontier",
     "The frontier is the part of a timeline that changes: the latest raw rows and unfinished windows.", """
What is the frontier?
What is the frontier of a timeline?
Explain the frontier.
What does the frontier hold?
What is in the frontier?
Which part of a timeline changes?
What does frontier mean in @?
Why is there a frontier?
"""),
    ("cancelling", "An evaluation can be cancelled at any time, and completed chunks are kept.", """
Can an evaluation be cancelled?
Can I cancel an evaluation?
Can I stop a long prompt while it is read?
What happens when an evaluation is cancelled?
Is cancelling safe?
Does cancelling lose the conversation?
Can prefill be cancelled?
Is it possible to cancel while the prompt is read?
"""),
    ("several conversations",
     "Several conversations can share a batch, and none changes the result of another.", """
Can several conversations run at once?
Can @ handle several conversations?
Does @ support batching?
Can conversations share a batch?
Can @ run conversations in parallel?
Do conversations in a batch influence each other?
Is batching supported?
Can more than one timeline be evaluated together?
"""),
    ("how a model is loaded", "ds4 maps the model file into memory with mmap; nothing is copied.", """
How does @ load a model?
How are models loaded?
Does @ use mmap?
How is the model file read?
Is the model copied into memory?
What does mmap do in @?
How does the loader work?
Does @ copy the weights?
How are the weights loaded?
Why does @ map the file?
mmap
loading a model
Does it read the whole file into RAM?
Does it copy the model into memory?
What happens when a model is loaded?
In what way is the file opened?
Is the file mapped?
memory mapping
Tell me how a model is loaded.
Are the weights copied?
"""),
    ("the start-up time", "ds4 starts in milliseconds, because the file is mapped and not read.", """
How long does @ take to start?
How fast does @ start?
How long does loading take?
Why does @ start so fast?
How long does it take to load a model?
What is the start-up time?
How many seconds does loading take?
Is starting slow?
Start-up time of ds4?
start-up time
loading time
Does it take long to start?
It starts at once, how is that possible?
How can an 81 GB file load so fast?
Do I wait long for the model to load?
How soon can I type after the start?
Is loading the big file slow?
time to load
Tell me how fast it starts.
"""),
    ("the forward pass", "The forward pass is in src/engine/forward.c, which is the place to start reading.", """
Where is the forward pass?
Which file has the forward pass?
Where do I start reading the source?
Where should I start reading the code?
Which file should I read first?
Where is the model computed in the source?
What is forward.c?
Where is the main part of the code?
Where does the source begin?
How should I begin to read the code?
forward pass
forward.c
I want to understand the code, where do I begin?
Where is the transformer computed?
Which source file is the most important?
I want to read the source, what first?
Show me the heart of the code.
Where is the model code?
entry point of the source
Which file should a new developer open?
"""),
    ("the twelve operations", "The forward pass is made of twelve operations, which each backend implements.", """
What are the twelve operations?
How many operations does a backend have?
What does a backend implement?
How many operations must a backend implement?
What is the interface of a backend?
What is in backend.h?
How do I write a new backend?
Explain the twelve operations.
"""),
    ("the source folders", "src has the folders base, gguf, model, text, backend, engine and cli.", """
Which folders does the source have?
How is the source organised?
What folders are in src?
How is the code structured?
Where is the source code?
Where is the source code of @?
List the folders of src.
What is the structure of the source?
Which parts does the source have?
How is the source code divided?
Folders of the source?
source code
source layout
folder structure
What is in src?
What are the directories for?
How is the repository laid out?
I want to look at the source.
Give me a map of the source.
modules of the source
Tell me the folders of the code.
"""),
    ("control tokens in user text", "Text that a user typed never becomes a control token.", """
Can user text become a control token?
Can a user inject control tokens?
Is prompt injection with control tokens possible?
What if a user types a control token?
What happens if I type the string of a control token?
Are control tokens in user text dangerous?
Is @ safe against typed markers?
Can typed text become a special token?
"""),
    ("determinism", "On the CPU results do not depend on threads or chunking, to the last bit.", """
Are the results deterministic?
Do results depend on the number of threads?
Does the number of threads change the answer?
Do results depend on the chunk size?
Is the CPU backend deterministic?
Is the output bit for bit the same?
Does chunking change the result?
Are answers the same with more threads?
"""),
    ("how ds4 is checked", "The tests compare logits of tiny models with an independent implementation in float64.", """
How is @ tested?
How is @ checked?
How do you know that @ computes correctly?
What do the tests compare?
Is @ correct?
How are the results verified?
What do the golden tests do?
With what are the logits compared?
How is correctness tested?
"""),
    ("the allowed difference",
     "In float arithmetic the largest difference from the reference that the tests allow is 0.001.", """
How large may the difference from the reference be?
What is the tolerance of the golden tests?
How exact are the logits?
How close are the logits to the reference?
What difference do the tests allow?
What is the largest difference allowed?
What tolerance do the tests use?
How accurate is the CPU path?
"""),
    ("broken files", "A broken file is refused with one line that names the tensor or key.", """
What happens with a broken model file?
What does @ do with a bad file?
What if the model file is broken?
How does @ treat broken files?
Is a wrong file refused?
What happens if a tensor is missing?
What if a GGUF file is damaged?
Does a broken file crash @?
Is @ safe with hostile files?
corrupt file
damaged model
tensor missing
It says that a tensor is missing.
My download broke off, what happens?
Will it crash on a bad file?
What if my GGUF is not complete?
Can a malicious file harm me?
The file is cut off, what does @ say?
It refuses my file.
"""),
    ("the internet", "ds4 runs on your own machine and needs no internet connection.", """
Does @ need the internet?
Does @ use the network?
Can I use @ offline?
Does @ send my data anywhere?
Is my data sent to a server by @?
Does @ work without internet?
Is @ private?
Does @ need a connection?
Does @ run in the cloud?
Does @ phone home?
offline
privacy
internet
Does it phone home?
Do you collect my data?
Is my text sent to DeepSeek?
I have no internet, does it work?
Do my questions leave my computer?
Is it safe for private documents?
telemetry
Does @ need an account?
Do I need an API key?
"""),
    ("the documentation", "The documentation is README.md, docs/cli.md and docs/design.md.", """
Where is the documentation?
Where is the manual?
Which documents are there?
Where can I read more about @?
Is there a manual for @?
Where are the docs?
Where do I find documentation of @?
Which file describes the command line?
Where can I learn more?
Documentation?
docs
documentation
manual
I want to read more.
Where is the README?
Where can I look things up?
Is there something to read about @?
Point me to the docs.
Show me the manual.
Which file explains the options?
Where is everything explained?
"""),
    ("the design document", "docs/design.md says what shapes the program, and why.", """
What is in docs/design.md?
What does docs/design.md say?
Where is the design explained?
Which document explains the design?
Where are the design decisions written down?
Is there a design document?
Where can I read why @ is built this way?
"""),
    ("speculative decoding", "No, ds4 does not do speculative decoding yet.", """
Does @ support speculative decoding?
Does @ use MTP?
Can @ use the MTP file?
Is speculative decoding supported?
Does @ do multi-token prediction?
Is there speculative decoding?
Can @ draft tokens?
Does @ have a draft model?
speculative decoding
mtp
draft model
Can I use a draft model to make it faster?
Does it predict several tokens at once?
Is MTP used?
Will the MTP layers be used?
Are tokens drafted?
Use speculative decoding, how?
multi-token prediction
"""),
    ("a server", "No, ds4 has no server yet; it works on the command line.", """
Does @ have a server?
Is there a server?
Is there a web interface?
Does @ have an HTTP API?
Is @ compatible with the OpenAI API?
Can I use @ over HTTP?
Is there a ds4 serve?
Can I use @ in my browser?
Does @ have a web page?
Can other programs talk to @ over the network?
server
http api
web ui
openai api
I want to use it from my browser.
Can my app send requests to it?
Is there a REST API?
Start a server, how?
Can I connect Open WebUI?
On which port does it listen?
Can I reach it from another computer?
"""),
    ("an agent", "No, ds4 has no coding agent yet.", """
Does @ have an agent?
Is there a coding agent?
Is there a ds4 agent?
Can @ edit my code?
Can @ work as a coding agent?
Does @ write code for me in my project?
Does @ have an agent mode?
Is an agent included?
agent
coding agent
I want it to edit my files.
Can it fix bugs in my project?
Is it like Claude Code?
Can it work on my repository?
Does it change files by itself?
agent mode
Let it work on my code alone, how?
Is there something like Copilot in @?
"""),
    ("downloading", "ds4 pull q2 downloads the q2 file; an interrupted download resumes when you run it again.", """
Can @ download models?
Does @ download the model for me?
Is there a ds4 pull?
Is there a download command?
Can @ fetch the model file?
How do I download a model with ds4?
Does @ have a pull command?
Will @ download files by itself?
pull
download command
Does it fetch the model itself?
Download the model for me.
Can I type ds4 pull?
Will it download V4 Flash automatically?
Get a model with one command, how?
Is the download automatic?
automatic download
Do I have to download the file by hand?
"""),
    ("ds4 plan", "ds4 plan says how much memory a model needs, whether it fits and how fast it should be.", """
What does ds4 plan do?
What is ds4 plan?
What is the plan command for?
How do I find out whether a model fits in my memory?
Which command tells me if q2 fits on my machine?
How do I know the speed before I download?
Explain ds4 plan.
plan
plan command
Does my machine have enough memory, how do I check?
Can @ tell me what fits before the download?
How do I predict the tokens per second?
Is there a memory calculator in @?
Will it fit, which command says so?
"""),
    ("ds4 synth",
     "ds4 synth q2 FILE writes a model of the true shape with random weights, to measure speed without a download.", """
What does ds4 synth do?
What is ds4 synth?
What is the synth command for?
How do I make a synthetic model?
Can I measure speed without the real model?
Explain ds4 synth.
synth
synth command
What is a synthetic model?
How do I get a random model of the true shape?
Which command writes random weights?
Can I test my machine without 81 GB of download?
"""),
    ("benchmarks", "ds4 bench measures the tokens per second of prefill and decoding at several context lengths.", """
Is there a benchmark?
Does @ have a benchmark command?
Is there a ds4 bench?
How do I benchmark @?
Can @ measure its speed?
Does @ have a bench command?
Is a benchmark included?
benchmark
bench
bench command
I want to measure the speed.
How can I see how many tokens per second I get?
Run a benchmark, how?
Is there a speed test?
Measure tokens per second, how?
Does it come with benchmarks?
speed test
"""),
    ("planning memory", "No, ds4 has no command yet that predicts memory and speed.", """
Is there a ds4 plan?
Can @ tell me whether a model fits?
Does @ predict the memory?
Is there a command that predicts memory?
Does @ have a plan command?
Can @ predict its speed?
Can @ tell me in advance how much memory I need?
plan
memory prediction
Will the model fit, can @ tell me?
I want to know before I load it whether it fits.
Can it estimate the memory?
Estimate the speed for my machine.
Is there a calculator for memory?
Predict the memory, how?
Does a command say what my machine can run?
memory estimate
"""),
    ("training", "No, ds4 only runs models; it cannot train them.", """
Can @ train models?
Does @ support training?
Can I fine-tune with @?
Can I train a model with ds4?
Does @ do fine-tuning?
Can @ learn from my data?
Is training possible with @?
train
fine-tuning
finetune
lora
I want to train my own model with @.
Can I teach V4 Flash new things with @?
Does it support LoRA?
Fine-tune V4 Flash, how?
Can I train on my own documents?
training support
"""),
    # ---- words that a newcomer meets ---------------------------------------------------------------------------
    ("what a language model is", "A language model predicts the next token of a text, again and again.", """
What is a language model?
What is an LLM?
What is a large language model?
How does a language model work?
What does a language model do?
Explain what a language model is.
What is a model?
What does LLM mean?
llm
language model
I do not know what a language model is.
What does an LLM do?
How do language models work?
Explain LLMs in one sentence.
Is a language model an AI?
Tell me what an LLM is.
meaning of LLM
What is meant by a language model?
"""),
    ("what a token is", "A token is a piece of text: a word, a part of one, a digit or a sign.", """
What is a token?
What are tokens?
What does token mean?
Explain what a token is.
Is a token a word?
How long is a token?
Tell me what a token is.
token
tokens
meaning of token
I do not know what a token is.
What is meant by a token?
Is a token a letter?
What do you call a token?
Are tokens words?
Why do you count tokens and not words?
Say what a token is.
"""),
    ("what a tokenizer is", "A tokenizer cuts text into tokens and gives each its number.", """
What is a tokenizer?
What does a tokenizer do?
What is a tokenizer for?
Explain what a tokenizer is.
How does text become tokens?
Why does a model need a tokenizer?
What is tokenization?
"""),
    ("what weights are", "The weights, or parameters, are the numbers that a model learned in its training.", """
What are weights?
What are parameters?
What is a parameter of a model?
What are the weights of a model?
Explain what weights are.
What does parameter mean?
What is a weight?
weights
parameters
meaning of weights
What does a model consist of?
What are model weights?
I do not know what parameters are.
What is meant by parameters?
Are weights and parameters the same?
Tell me what weights are.
What does a model learn in its training?
"""),
    ("what a context is", "The context is the text that a model sees at once, counted in tokens.", """
What is a context?
What is the context?
What is a context window?
What does context mean?
Explain what the context is.
What is the context of a model?
What is a context length?
context
context window
meaning of context
I do not know what a context is.
What is meant by context?
Tell me what a context is.
Why is the context limited?
What do people mean by context?
Is the context what the model sees?
What is the context good for?
"""),
    ("what a prompt is", "A prompt is the text that a model is given to go on from.", """
What is a prompt?
What does prompt mean?
Explain what a prompt is.
What is a prompt for?
Tell me what a prompt is.
What do you call the text that a model is given?
prompt
prompts
meaning of prompt
I do not know what a prompt is.
What is meant by a prompt?
Is my question a prompt?
What are prompts?
Define a prompt.
Say what a prompt is.
Is what I type called a prompt?
"""),
    ("what logits are", "Logits are the scores that a model gives to each possible next token.", """
What are logits?
What is a logit?
What does logit mean?
Explain what logits are.
Tell me what logits are.
What do the logits say?
"""),
    ("what perplexity is", "Perplexity says how well a model predicts a text; lower is better.", """
What is perplexity?
What does perplexity mean?
What does perplexity measure?
Explain perplexity.
Is a low perplexity good?
Is a high perplexity bad?
Tell me what perplexity is.
"""),
    ("what quantisation is", "Quantisation stores weights with fewer bits, so that the file becomes smaller.", """
What is quantisation?
What is quantization?
What does quantised mean?
Explain quantisation.
Why are models quantised?
What is a quantised model?
What is a quant?
What is quantisation good for?
quantisation
quantised
meaning of quantisation
I do not know what quantised means.
Why do people quantise a model?
What are quantised weights?
Is a quantised model smaller?
Tell me what quantisation is.
What is meant by a quant?
Does a model become smaller if it is quantised?
"""),
    ("what a mixture of experts is",
     "In a mixture of experts each token is computed by a few of many small networks.", """
What is a mixture of experts?
What does MoE mean?
What is an MoE model?
What is an expert in a model?
Explain mixture of experts.
How does a mixture of experts work?
What are experts?
moe
mixture of experts
experts in a model
I do not know what MoE means.
What is meant by experts?
Why does a model have experts?
What does a mixture of experts do?
Tell me what an MoE is.
Say what mixture of experts means.
What does expert mean in a model?
"""),
    ("what attention is", "Attention is how a model looks at earlier tokens to compute the next one.", """
What is attention?
What does attention mean?
Explain attention.
What does attention do?
How does attention work?
What is attention in a model?
Why does a model need attention?
"""),
    # ---- the small model ---------------------------------------------------------------------------------------
    ("what ds4-nano is", "ds4-nano is a very small model of the DeepSeek V4 architecture that ships with ds4.", """
What is ds4-nano?
What is ds4 nano?
What is the nano model?
What exactly is ds4-nano?
Tell me about ds4-nano.
Explain ds4-nano.
What is the small model that ships with ds4?
What model comes with ds4?
Which model ships with ds4?
Describe ds4-nano.
Does @ come with a model?
nano
ds4-nano
nano model
What is nano?
Which model is built in?
I see the name ds4-nano, what is that?
What is this small model?
Is there a model in the package?
Who is ds4-nano?
Does a model come with it?
Tell me what # is.
"""),
    ("why ds4-nano exists", "ds4-nano exists so that one can try ds4 at once, without a large download.", """
Why does # exist?
Why is there a small model?
What is # for?
What is the purpose of #?
What is # good for?
Why was # made?
Why does ds4 come with a small model?
Why do I need #?
What is the point of #?
why nano
purpose of ds4-nano
Why did you build a tiny model?
What use is #?
Is # only a demo?
Why include # at all?
Who needs #?
Is there a reason for #?
Tell me why # was made.
Why would I use # and not the big one?
"""),
    ("the parameters of ds4-nano", "ds4-nano has about 25 million parameters.", """
How many parameters does # have?
How big is #?
How large is #?
How many weights does # have?
What is the parameter count of #?
Parameters of ds4-nano?
How many million parameters has #?
How small is #?
ds4-nano parameters
nano size
nano parameter count
25M?
Tell me how big # is.
Is # really that small?
How many parameters are in #?
How many numbers did # learn?
Is # a large model?
Say how many parameters # has.
"""),
    ("the file of ds4-nano", "ds4-nano is the file models/ds4-nano.gguf, of at most 24 MB, and is built into ds4.", """
Where is the file of #?
Which file is #?
Where is # stored?
How big is the file of #?
How many MB is #?
What is the file size of #?
What is the file of # called?
Where do I find ds4-nano.gguf?
How much disk space does # take?
ds4-nano.gguf
nano file
ds4-nano file size
I want the file of #.
Is there a GGUF of #?
Does # come as a file?
path of ds4-nano
How large is ds4-nano.gguf?
Where on my disk is #?
How many megabytes does # have?
"""),
    ("choosing ds4-nano", "-m nano chooses ds4-nano, the model that is built into the program.", """
How do I choose #?
How do I use #?
How do I run #?
How do I load #?
How do I start ds4 with #?
How do I switch to #?
What does -m nano do?
What does -m nano mean?
Which option selects #?
How do I get back to #?
Do I need a file for #?
How do I choose the built-in model?
Is # built into the program?
Is there a built-in model?
use nano
-m nano
choose nano
I want the small model back.
I do not want the big model, how do I take #?
Start with #, how?
ds4 -m nano
DS4_MODEL is set, but I want #.
How do I get the built-in model?
Run #, how?
"""),
    ("the layers of ds4-nano", "ds4-nano has 8 layers.", """
How many layers does # have?
How many layers has #?
How deep is #?
What is the number of layers of #?
Layers of ds4-nano?
How many blocks does # have?
What is the depth of #?
"""),
    ("the width of ds4-nano", "ds4-nano is 256 wide.", """
How wide is #?
What is the width of #?
What is the hidden size of #?
What is the embedding width of #?
Width of ds4-nano?
What is the embedding size of #?
What is the model dimension of #?
"""),
    ("the vocabulary of ds4-nano", "ds4-nano has a vocabulary of 2,048 tokens.", """
How large is the vocabulary of #?
How big is the vocabulary of #?
What is the vocabulary size of #?
How many tokens are in the vocabulary of #?
How many tokens does # know?
Vocabulary of ds4-nano?
How many different tokens does # have?
What is the size of the vocabulary of #?
"""),
    ("the context of ds4-nano", "ds4-nano has a context of 8,192 tokens.", """
What is the context length of #?
How long is the context of #?
What is the context of #?
How large is the context window of #?
What is the maximum context of #?
How many tokens can # read?
How many tokens fit in the context of #?
How long can a prompt for # be?
Context length of ds4-nano?
How much text can # read at once?
ds4-nano context
nano context
How much can I write to #?
Is my text too long for #?
How many tokens can # see?
Does # handle long texts?
context size of nano
How much context does # have?
Tell me the context of #.
Can # read ten pages?
"""),
    ("the experts of ds4-nano",
     "Each layer of ds4-nano has 8 routed experts, of which 2 are used, and 1 shared expert.", """
How many experts does # have?
How many experts does # use for a token?
How many routed experts has #?
How many experts of # are active?
Experts of ds4-nano?
Does # have experts?
Is # a mixture of experts?
"""),
    ("the memory for ds4-nano", "ds4-nano needs less than 100 MB of memory.", """
How much memory does # need?
How much RAM does # need?
How much memory do I need for #?
How many MB of memory does # take?
Which machine can run #?
Does # run on an old laptop?
Will # run on my laptop?
Memory for ds4-nano?
nano memory
nano ram
Will # run on a Raspberry Pi?
I have an old PC, can it run #?
Does # need a big machine?
How much RAM is # using?
Is 1 GB enough for #?
Is 4 GB of RAM enough for #?
Tell me the memory that # needs.
memory use of ds4-nano
"""),
    ("the training data of ds4-nano", "ds4-nano was trained only on text that the code in train/ generates.", """
What was # trained on?
What is the training data of #?
Which data was # trained on?
On which texts was # trained?
Where does the training data of # come from?
Was # trained on the internet?
Was # trained on books?
Is the training data of # public?
Training data of ds4-nano?
Which texts has # seen?
Is # made from a bigger model?
nano training data
data of ds4-nano
Did # see my data?
Does # know Wikipedia?
What did # learn from?
Were real texts used to train #?
Is # a copy of DeepSeek?
Did # learn from DeepSeek V4?
Tell me what # was trained on.
Is the data of # made by a program?
"""),
    ("how ds4-nano was trained", "ds4-nano was trained from scratch with PyTorch by the code in train/.", """
How was # trained?
With what was # trained?
Which framework was used to train #?
Was # trained from scratch?
How was # made?
Where is the training code of #?
Where is the code that trained #?
Which code trained #?
nano training
Was PyTorch used for #?
How did you make #?
How did # come about?
Tell me how # was trained.
Is # fine-tuned from another model?
Which code made #?
What software trained #?
Is the training code of # there?
Did # start from nothing?
"""),
    ("training ds4-nano again", "python3 train/train.py --out DIR trains ds4-nano again on one GPU.", """
How do I train # again?
Can I train # myself?
How do I make # again?
How do I retrain #?
Which command trains #?
How can I train #?
Can I retrain #?
What is the command to train #?
What does train/train.py do?
How do I run the training of #?
retrain nano
train nano
I want to train # on my own machine.
How can I build my own #?
Train the small model again, how?
Is it possible to train # again?
Run the training of #, how?
Make a new #, how?
command to train ds4-nano
Can I repeat the training of #?
"""),
    ("how long ds4-nano was trained", "ds4-nano was trained in less than half an hour on one GPU.", """
How long was # trained?
How long did it take to train #?
How long does it take to train #?
How much time does the training of # need?
On which GPU was # trained?
What hardware was # trained on?
How many GPUs does the training of # need?
Do I need a GPU to train #?
How many minutes does the training of # take?
nano training time
training time of ds4-nano
Did the training of # take days?
Was # trained on many GPUs?
Is one GPU enough to train #?
Tell me how long # was trained.
How many hours did # train?
Was the training of # expensive?
How quickly was # trained?
How fast can I train #?
"""),
    ("the licence of ds4-nano", "ds4-nano has the MIT licence, like ds4 itself.", """
What licence does # have?
What is the licence of #?
Under which licence is #?
How is # licensed?
Can I use # freely?
Is # open source?
Licence of ds4-nano?
Are the weights of # free?
May I give # to others?
nano licence
licence of the small model
May I share #?
Can I put # into my app?
Can I use # at work?
Is # free of charge?
Tell me the licence of #.
Are the weights of # open?
May I change #?
Can I sell a product with # in it?
"""),
    ("what ds4-nano can do",
     "ds4-nano answers questions about ds4, does arithmetic and word tasks, remembers things and calls tools.", """
What can # do?
What is # able to do?
What tasks can # do?
Which tasks does # know?
What are the abilities of #?
What can I ask #?
What was # trained to do?
Which questions can # answer?
What does # know?
nano abilities
what nano can do
Is # good for anything?
Can # do maths?
What should I try with #?
What are good questions for #?
Tell me what # can do.
Give me examples of what # can do.
Which things does # do well?
Can # chat?
"""),
    ("the limits of ds4-nano",
     "ds4-nano knows almost nothing about the world and makes mistakes; a large model is far better.", """
What can # not do?
What are the limits of #?
What does # not know?
Is # as good as a large model?
Is # smart?
Can I trust #?
How good is #?
What are the weaknesses of #?
Does # make mistakes?
Is # better than DeepSeek V4 Flash?
nano limits
Can # write an essay?
Why is # so bad?
The small model gives wrong answers.
Does # know history?
Is # as clever as ChatGPT?
Tell me the limits of #.
Should I use # for real work?
Why does # know so little?
Is # any good?
"""),
    ("the language of ds4-nano", "ds4-nano understands only simple English.", """
Which languages does # speak?
What languages does # understand?
Does # speak German?
Does # understand French?
Which language does # speak?
Can I talk to # in Spanish?
Is # only for English?
Does # know other languages than English?
nano languages
Can I write German to #?
Can # read Chinese?
Must I write English to #?
Is # able to speak Italian?
Does # translate?
In which language should I talk to #?
Tell me the languages of #.
Is English the only language of #?
languages of ds4-nano
"""),
]

_SUBJECT = re.compile(r"[@#]")


def question(rng, phrasing):
    """A surface form of a core phrasing."""
    def subject(match):
        return rng.choice(PROGRAM if match.group() == "@" else NANO)

    text = _SUBJECT.sub(subject, phrasing)
    if phrasing[0] in "@#" and rng.random() < 0.9 and not text.startswith("ds4"):
        text = text[0].upper() + text[1:]
    if rng.random() < 0.4:
        text = text.replace("licence", "license").replace("colour", "color").replace("quantis", "quantiz")
    typos = 0.12 if " " in text else 0      # "speed" without a letter is "seed"
    return vary(rng, text, opener=0.4, closer=0.1, lower=0.3, unpunctuated=0.25, typos=typos)


# What vary() makes of each other, and is one phrasing for the split.
_EQUIVALENT = tuple((rf"\b{re.escape(name.lower())}\b", "#") for name in sorted(set(NANO), key=len, reverse=True)) + \
    tuple((rf"\b{re.escape(name.lower())}\b", "@") for name in sorted(set(PROGRAM), key=len, reverse=True)) + (
    (r"^what's ", "what is "), (r"^which ", "what "), (r"^(how can i|how do you|how to) ", "how do i "),
    (r"^what exactly ", "what "), (r"^(where|who)'s ", r"\1 is "), (r"license", "licence"), (r"quantiz", "quantis"),
    (r"[.?!]$", ""))
N_TRAINED = 6                   # phrasings of a fact that are trained at least


def _canonical(phrasing):
    text = phrasing.lower()
    for pattern, plain in _EQUIVALENT:
        text = re.sub(pattern, plain, text)
    return text


def _split(phrasings):
    """-> those that are trained on, those that never are"""
    phrasings = phrasings.strip().split("\n")
    unseen, n_trained = [], len(phrasings)
    for phrasing in phrasings:
        alike = [p for p in phrasings if _canonical(p) == _canonical(phrasing)]
        if phrasing not in unseen and n_trained - len(alike) >= N_TRAINED and \
                is_held_out("fact core", _canonical(phrasing)):
            unseen += alike
            n_trained -= len(alike)
    return [p for p in phrasings if p not in unseen], unseen


_CORES = [_split(phrasings) for _, _, phrasings in FACTS]
_WITH_UNSEEN = [i for i, (_, unseen) in enumerate(_CORES) if unseen]


def _turn(rng, i, phrasings):
    topic, answer, _ = FACTS[i]
    user = question(rng, rng.choice(phrasings))
    return Turn("fact", user, answer, f"The question is about {topic}.", accept=(answer.rstrip("."),))


def fact(rng):
    i = rng.randrange(len(FACTS))
    return _turn(rng, i, _CORES[i][0])


def unseen_fact(rng):
    """In words that are never trained on."""
    i = rng.choice(_WITH_UNSEEN)
    return _turn(rng, i, _CORES[i][1])


TASKS = [(1, fact)]
UNSEEN_TASKS = [(1, unseen_fact)]
